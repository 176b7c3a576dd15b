// Package sesame is the root of the repository and holds no product code: its
// tests keep the promises that no single package can keep for itself.
//
//   - floors_test.go: a package imports only from lower floors, and the packages
//     that decide do no I/O, read no clock and roll no dice.
//   - hygiene_test.go: every package says what it is for, nothing outgrows its
//     budget, and calls that have bitten others do not come back.
//   - docs_test.go: every link leads somewhere, and every path that a document
//     names exists.
//   - records_test.go: every decision record has its status, date and parts.
//   - invariants_test.go: every invariant names the test that guards it.
//   - readme_test.go: every command line in the README parses.
//
// The checks are functions over a tree of files. Each is run over this
// repository, and over a small planted tree in which it must find every fault.
package sesame
