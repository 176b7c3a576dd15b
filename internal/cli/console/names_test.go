package console

import (
	"strings"
	"testing"

	"github.com/sesame-access/sesame/internal/api"
)

func TestNames(t *testing.T) {
	const arn = "arn:aws:ec2:eu-central-1:111122223333:instance/i-0a1b"
	n := namesOf(map[string]string{arn: "web $1", strings.Replace(arn, "i-0a1b", "i-0a1b2c", 1): "db"})
	for text, want := range map[string]string{
		arn + ":22/tcp":                                      "web $1 (i-0a1b):22/tcp",
		"i-0a1b2c:22/tcp, i-0a1b:22/tcp,i-0a1b":              "db (i-0a1b2c):22/tcp, web $1 (i-0a1b):22/tcp,web $1 (i-0a1b)",
		"every protocol of i-0a1b but 1":                     "every protocol of web $1 (i-0a1b) but 1",
		"group sesame-live-i-0a1b-of-sg-1":                   "group sesame-live-i-0a1b-of-sg-1",
		"i-0a1":                                              "i-0a1",
		"arn:aws:ec2:eu-west-1:111122223333:instance/i-0a1b": "arn:aws:ec2:eu-west-1:111122223333:instance/i-0a1b",
	} {
		if got := n.in(text); got != want {
			t.Errorf("%s\nis   %s\nwant %s", text, got, want)
		}
	}
	if got := namesOf(map[string]string{arn: "two\nlines\x1b[2J"}).in("i-0a1b"); strings.ContainsAny(got, "\n\x1b") {
		t.Errorf("a name writes to the terminal what it likes: %q", got)
	}
	if got := namesOf(nil).in("i-0a1b"); got != "i-0a1b" {
		t.Errorf("without names it is %s", got)
	}
}

// Wherever a preview names a VM, it says what people call it.
func TestPreviewNamesVMs(t *testing.T) {
	const arn = "arn:aws:ec2:eu-central-1:111122223333:instance/i-0a1b"
	door := api.Door{VM: arn, Port: 22, Protocol: "tcp"}
	p := api.Preview{
		Names:    map[string]string{arn: "web-2"},
		Changes:  []api.Change{{Firewall: "vpc", Text: "displace " + arn + ":22/tcp  # it reaches " + arn + ":22/tcp"}},
		Reach:    []api.ReachChange{{Door: door, Shuts: &api.Shift{Sources: "anybody", By: "x"}}},
		Refused:  []api.Refusal{{Door: door, Why: "because of i-0a1b"}},
		Losses:   []api.Loss{{VM: arn, Text: "i-0a1b:80/tcp is lost to anybody"}},
		Others:   []api.Other{{Door: door, Text: "installation b has locked it"}},
		Proposed: []api.Proposal{{VM: arn, Kind: "probe", Name: "lb"}},
		Restored: []api.Restored{{Firewall: "vpc", Rule: "sg-1 22/tcp", Opens: []string{"i-0a1b: 22/tcp from anybody"}}},
	}
	var b strings.Builder
	if err := PrintPreview(&b, p); err != nil {
		t.Fatal(err)
	}
	ids, named := strings.Count(b.String(), "i-0a1b"), strings.Count(b.String(), "web-2 (i-0a1b)")
	if ids != named || named != 9 {
		t.Errorf("%d of %d times it says what the VM is called:\n%s", named, ids, b.String())
	}
}
