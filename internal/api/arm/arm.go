// Package arm holds the wire types of the Azure face: just-in-time network access
// policies as Azure Resource Manager shows them (Microsoft.Security, api-version
// 2020-01-01, and 2015-06-01-preview with the same bodies), and how they are ours.
//
// # What is read
//
// Clients of many years are read: numbers in quotes, null for what is not there,
// times with up to nine digits behind the second, PT3H0M, and what a client sends
// back of an earlier answer, which says nothing: requests, provisioningState,
// appendMode, systemData, etag, status and statusReason. Everything else is as
// strict as in package strict. What cannot be meant is an error of kind
// errkind.Invalid with the field's name, where Azure answered with a 500.
//
// # What is written
//
// Lists are never null. Instants have up to seven digits behind the second, which
// is what .NET writes; durations are PT3H. Ids are in Azure's spelling.
//
// # Policies
//
// In Azure the ports of a policy differ from VM to VM, and in package policy they
// do not: Parts makes as many of ours as it takes, which keep what was put, so that
// Shown shows it as its owner spelled it. Where ours were changed otherwise, what
// is in force is shown. A policy of ours that was never put here is shown as one of
// each resource group and region that it has VMs in.
//
// (Azure/azure-rest-api-specs: Microsoft.Security 2020-01-01,
// jitNetworkAccessPolicies; recordings of the SDKs' tests, 2018 to 2023. As of
// 2026-11.)
package arm

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sesame-access/sesame/internal/api/strict"
)

// Versions returns the api-versions of the policies, which differ in nothing.
func Versions() []string { return []string{"2020-01-01", "2015-06-01-preview"} }

// PolicyType is the resource type of a policy.
const PolicyType = "Microsoft.Security/locations/jitNetworkAccessPolicies"

// Decode reads a body.
func Decode(text []byte, v any) error {
	return strict.Read(text, v, strict.Leniency{Unknown: false, Empty: true, Null: true})
}

// Encode writes an answer: one line, with the characters of markup escaped.
func Encode(v any) ([]byte, error) {
	return json.Marshal(v, json.Deterministic(true), jsontext.EscapeForHTML(true), json.FormatNilSliceAsNull(false))
}

// A List is one page of a list.
type List[T any] struct {
	Value    []T    `json:"value"`
	NextLink string `json:"nextLink,omitzero"`
}

// A CloudError is the body of every error.
type CloudError struct {
	Error ErrorDetail `json:"error"`
}

// An ErrorDetail says what is wrong. Target is the field at fault.
type ErrorDetail struct {
	Code    string        `json:"code"`
	Message string        `json:"message"`
	Target  string        `json:"target,omitzero"`
	Details []ErrorDetail `json:"details,omitempty"`
}

// ignored is what clients send back of an answer, and what says nothing.
type ignored = jsontext.Value
