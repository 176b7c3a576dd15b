package api

import (
	"fmt"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
)

// A Policy is a policy document. What goes in may be JSON or YAML and is read by
// policy.Parse alone; this is its form in JSON, and what comes out.
type Policy struct {
	Name       string       `json:"name"`
	VMs        []string     `json:"vms" minItems:"1" doc:"Ids."`
	Ports      []PolicyPort `json:"ports" minItems:"1"`
	Exempt     []string     `json:"exempt,omitempty" doc:"Who is let in without asking."`
	Cut        bool         `json:"cut,omitzero" doc:"Established connections end with their grant."`
	Proof      bool         `json:"proof,omitzero" doc:"A grant opens only where it is proven that it comes through."`
	Approvals  []Stage      `json:"approvals,omitempty" maxItems:"8" doc:"Who has to agree, one stage after the other; absent for nobody."`
	Within     string       `json:"approve_within,omitzero" doc:"How long a request waits for approval, such as 1h." default:"1h"`
	Reason     string       `json:"reason,omitzero" enum:"required,optional" default:"optional"`
	Ticket     string       `json:"ticket,omitzero" doc:"RE2; the ticket of a request must match it as a whole."`
	BreakGlass *Glass       `json:"break_glass,omitempty" doc:"Who gets in without approval in an emergency."`
	Azure      *AzurePart   `json:"azure,omitempty" doc:"Of what was put on the Azure face."`
	// Version is checked against what is in force, so that nobody overwrites what
	// they have not seen.
	Version int64 `json:"version,omitzero" minimum:"1" doc:"The version that this one is made from; it must still be in force. Absent to replace whatever is."`
}

// A Stage is one stage of approval.
type Stage struct {
	Stage string `json:"stage"`
	Count int    `json:"count,omitzero" minimum:"1" maximum:"8" default:"1" doc:"How many different people."`
}

// A Glass says who may break it in an emergency.
type Glass struct {
	Who []string `json:"who" minItems:"1" doc:"Each as ISSUER#SUBJECT."`
	Max string   `json:"max,omitzero" doc:"The longest grant, such as 30m." default:"30m"`
}

// An AzurePart names the policy of the Azure face that a policy is a part of.
type AzurePart struct {
	Policy   string `json:"policy" doc:"Its Azure Resource Manager id."`
	Document string `json:"document,omitzero" doc:"What was put there, as its owner spelled it."`
}

func azurePartOf(a policy.Azure) *AzurePart {
	if a == (policy.Azure{}) {
		return nil
	}
	return &AzurePart{Policy: a.Policy, Document: a.Document}
}

// A PolicyPort is one just-in-time port of every VM of a policy.
type PolicyPort struct {
	Port     PortNumber `json:"port" minimum:"1" maximum:"65535"`
	Protocol string     `json:"protocol,omitzero" enum:"tcp,udp" default:"tcp"`
	Max      string     `json:"max,omitzero" doc:"The longest grant, such as 3h." default:"3h"`
	Sources  []string   `json:"sources,omitempty" doc:"Where a request may come from; absent for anywhere."`
	Widest   *Widest    `json:"widest,omitempty" doc:"The shortest prefixes that may be asked for."`
}

// Widest is the shortest prefix length of each family that may be asked for.
type Widest struct {
	IPv4 int `json:"ipv4,omitzero" minimum:"8" maximum:"32" default:"32"`
	IPv6 int `json:"ipv6,omitzero" minimum:"16" maximum:"128" default:"64"`
}

// PolicyOf returns p as it goes over the wire.
func PolicyOf(p policy.Policy) Policy {
	out := Policy{
		Name:      p.Name,
		VMs:       mapped(p.VMs, func(vm firewall.VMID) string { return string(vm) }),
		Ports:     mapped(p.Ports, policyPortOf),
		Exempt:    SourcesOf(p.Exempt),
		Cut:       p.Cut,
		Proof:     p.Proof,
		Version:   p.Version,
		Approvals: mapped(p.Approvals, StageOf),
		Within:    "", Reason: "", Ticket: p.Ticket, BreakGlass: nil,
		Azure: azurePartOf(p.Azure),
	}
	if p.Within > 0 {
		out.Within = access.FormatDuration(p.Within)
	}
	if p.Reason {
		out.Reason = "required"
	}
	if len(p.Glass.Who) > 0 {
		out.BreakGlass = &Glass{Who: mapped(p.Glass.Who, access.Principal.Name), Max: access.FormatDuration(p.Glass.Max)}
	}
	return out
}

// StageOf returns a as it goes over the wire.
func StageOf(a policy.Approval) Stage { return Stage{Stage: a.Stage, Count: a.Count} }

func policyPortOf(p policy.Port) PolicyPort {
	return PolicyPort{
		Port: PortNumber(p.Port), Protocol: p.Protocol.String(), Max: access.FormatDuration(p.Max),
		Sources: SourcesOf(p.Sources), Widest: &Widest{IPv4: p.WidestIPv4, IPv6: p.WidestIPv6},
	}
}

// Domain returns what PolicyOf was given.
func (p Policy) Domain() (policy.Policy, error) {
	text, err := Encode(p)
	if err != nil {
		return policy.Policy{}, err
	}
	return policy.Parse(text)
}

// ParsePolicy reads the document that is put at name; a name in it must be the
// same, and may be left out nowhere.
func ParsePolicy(name string, document []byte) (policy.Policy, error) {
	if _, err := firewall.ParseName("name", name); err != nil {
		return policy.Policy{}, err
	}
	p, err := policy.Parse(document)
	if err == nil && p.Name != name {
		return policy.Policy{}, errkind.Bad("name", p.Name, fmt.Sprintf("%q, the name in the path", name))
	}
	return p, err
}

// A SavedPolicy is a policy as it is in force.
type SavedPolicy struct {
	Policy  Policy `json:"policy"`
	Version int64  `json:"version" doc:"Counts the saved changes of this policy, from 1."`
	Hidden  int    `json:"hidden_vms,omitzero" doc:"How many VMs of it you may not view; it takes the right on all of them to change it."`
	Damaged string `json:"damaged,omitzero" doc:"Why the policy cannot be read; its locks stay, nothing is granted by it."`
}

// SavedPolicyOf returns p, without VMs that are hidden, as it goes over the wire.
func SavedPolicyOf(p policy.Policy, hidden int) SavedPolicy {
	return SavedPolicy{Policy: PolicyOf(p), Version: p.Version, Hidden: hidden, Damaged: ""}
}

// A PolicyChange answers a policy that was put: the policy as it is now in force
// or, of a dry run, what putting it would do.
type PolicyChange struct {
	Policy  Policy   `json:"policy"`
	Version int64    `json:"version,omitzero" doc:"Absent from a dry run."`
	Changes []string `json:"changes,omitempty" doc:"Of a dry run: what is different from the policy in force, for people to read."`
	Preview *Preview `json:"preview,omitempty" doc:"Of a dry run: what would be written, and whom it would keep out."`
}

// PolicyTrial answers a dry run of putting p where the given policies are in
// force.
func PolicyTrial(inForce []policy.Policy, p policy.Policy, preview Preview) PolicyChange {
	out := PolicyChange{Policy: PolicyOf(p), Version: 0, Changes: nil, Preview: &preview}
	for _, old := range inForce {
		if old.Name == p.Name {
			out.Changes = policy.Diff(old, p)
		}
	}
	return out
}

// A Disable asks to end the locks of some ports of a VM.
type Disable struct {
	VM     string `json:"vm" doc:"An id or an unambiguous name."`
	Ports  []Port `json:"ports" minItems:"1"`
	DryRun bool   `json:"dry_run,omitzero" doc:"Only show what would be given back, and to whom."`
	// Restore is what a caller agrees to who was shown what comes back.
	Restore bool `json:"restore_open,omitzero" doc:"Give displaced rules back, too, that are open to the Internet or were taken out more than 7 days ago."`
}

// A Disabled answers a Disable.
type Disabled struct {
	Doors   []Door  `json:"doors" doc:"The doors without a lock now or, of a dry run, that would be."`
	Preview Preview `json:"preview" doc:"What was or would be written, and who gets in again."`
	Done    bool    `json:"done" doc:"False for a dry run."`
}
