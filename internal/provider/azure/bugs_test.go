package azure_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Bugs that other programs had with network security groups, and what a cloud may
// do to whoever writes to it: which of our tests fails when we have them, too. A
// test is named as DIRECTORY.FUNCTION, or as DIRECTORY.FUNCTION/CASE where it is a
// line of a table.
var knownBugs = map[string][]string{
	"1: rules of unknown shape were deleted":                    {"nsg/resource.TestBug1OpaqueRules"},
	"2: a Deny that was shared lost what another needed":        {"nsg.TestBug2EveryDoorHasItsOwnLock"},
	"3: destinations kept addresses of machines that were gone": {"nsg.TestBug3DestinationsFollowTheInventory", "nsg.TestMoves"},
	"4, 20, 21: what several needed went with the first":        {"nsg.TestBug4SharedUntilTheLastIsGone"},
	"5: one bad rule failed the whole document":                 {"nsg.TestBug5LocalValidation"},
	"6: rules were matched by name alone":                       {"nsg.TestBug6EveryFieldIsCompared", "nsg.TestMarkIsBoundToItsRule"},
	"7: nothing and an empty list were different":               {"nsg.TestBug7AnotherLookIsNoChange"},
	"8: TCP and Tcp were different":                             {"nsg.TestBug7AnotherLookIsNoChange", "nsg/resource.TestParse"},
	"9, 11, 12: a whole document reset what others wrote":       {"nsg.TestBug9NothingIsWrittenOverANewerVersion", "nsg/resource.TestRandomDocuments"},
	"10: what nobody wanted any more stayed":                    {"nsg.TestBug10WhatIsNotWantedGoes"},
	"13: the entity tag was in the body, and ignored":           {"nsg.TestAnswers/bug 13, stale", "azure.TestProbeChangesNothing", "azure.TestB19OthersWriteTheWholeGroup"},
	"14: parallel writes met each other":                        {"nsg.TestBug14EverythingIsOneWrite", "nsg.TestAnswers/bug 14, another writes"},
	"15: our write made others fail":                            {"nsg.TestAnswers/bug 15, others wait", "azure.TestOneRuleIsAChild"},
	"16: two rules could not swap their numbers":                {"nsg.TestBug16NumbersAreNeverSwapped"},
	"18: a write that was superseded counted as made":           {"nsg.TestAnswers/bug 18, superseded", "azure.TestOutage/superseded"},
	"19: a lock of Azure's does not stop a write of the whole":  {"azure.TestB19OthersWriteTheWholeGroup"},
	"22: rooms were counted when it was too late":               {"nsg.TestBug22RoomIsCountedBefore", "nsg.TestBug22PrefixesAreCounted"},
	"23: a prefix that was not canonical never matched":         {"nsg.TestBug23PrefixesAreCanonical"},
	"24: the default rules let the network in":                  {"nsg.TestBug24TheDefaultRulesAreOutranked"},
	"25: numbers below 100, operations nobody waited for":       {"nsg.TestBug25NumbersStayInTheirWindows", "azure.TestFailedOperation"},

	"C-01: refused, throttled, down, cut off":            {"azure.TestOutage/throttled", "azure.TestOutage/down", "azure.TestOutage/lost", "azure.TestRetryAfter"},
	"C-02: made and called failed, lost and called made": {"azure.TestConformance", "azure.TestFailedOperation", "azure.TestOutage/unanswered"},
	"C-03: readings are old":                             {"azure.TestConformance/slow, with stale readings"},
	"C-04: others edit what is ours":                     {"nsg.TestC04OthersEditWhatIsOurs", "azure.TestStrange"},
	"C-05: others take our descriptions away":            {"nsg.TestDescriptionsAreRepaired"},
	"C-06: a closing finds nothing there":                {"nsg.TestAnswers/C-06, a proxy's word", "nsg.TestAnswers/C-06, wrong subscription"},
	"C-07: deleted, locked, forbidden by policy":         {"azure.TestOutage/locked by Azure", "azure.TestOutage/forbidden by policy", "nsg.TestAnswers/locked", "nsg.TestAnswers/policy", "azure.TestGroupThatWasDeleted"},
	"C-08: credentials that are revoked or lack a right": {"azure.TestOutage/credentials revoked", "azure.TestOutage/a right is lost", "nsg.TestAnswers/forbidden"},
	"C-09: no room":                                        {"nsg.TestBug22RoomIsCountedBefore"},
	"C-10: no number, shadowed, blocked":                   {"nsg.TestC10NoFreeNumber", "nsg.TestForeignDenies", "nsg.TestShadowedLockMovesUp"},
	"C-11: half of a plan":                                 {"azure.TestOutage/half done"},
	"C-14: the same name elsewhere":                        {"azure.TestTokensStayHere", "azure.TestUnreadable", "nsg.TestAddressesAreTheVMsOwn"},
	"C-15: half of a list":                                 {"estate.TestNeverSmaller", "estate.TestListsThatFail"},
	"C-16: documents before and after, with unknown parts": {"nsg.TestLockAndUnlockRandomGroups", "nsg/resource.TestRandomDocuments"},
}

// TestKnownBugsHaveTests: 17 is about IP groups, which nobody writes here; C-12 and
// C-13 are about others than the provider; C-17 is package fleet's.
func TestKnownBugsHaveTests(t *testing.T) {
	for _, bug := range slices.Sorted(maps.Keys(knownBugs)) {
		for _, name := range knownBugs[bug] {
			dir, rest, _ := strings.Cut(name, ".")
			function, line, _ := strings.Cut(rest, "/")
			if dir == "azure" {
				dir = "."
			}
			files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			found := slices.ContainsFunc(files, func(file string) bool {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				_, body, there := strings.Cut(string(text), "\nfunc "+function+"(t *testing.T) {")
				body, _, _ = strings.Cut(body, "\n}\n")
				return there && (line == "" || regexp.MustCompile(`"`+regexp.QuoteMeta(line)+`": `).MatchString(body))
			})
			if !found {
				t.Errorf("%s: there is no %s", bug, name)
			}
		}
	}
}
