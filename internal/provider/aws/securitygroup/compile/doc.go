// Package compile is what the AWS provider does about security groups: [Plan] is
// a pure function of a reading. The specification is package securitygroup's.
//
// The rules of ours follow from the wants and the displaced rules alone, are
// compared with what is there, and only the difference is written. The doors that
// can be locked are settled first (lock.go), then which foreign rules go, stay
// and come back (displace.go); the owned groups are dressed for what is left
// (dress.go).
package compile
