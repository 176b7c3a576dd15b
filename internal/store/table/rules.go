package table

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
)

// policyBody is the JSON of a policy.Policy, without its name and version.
type policyBody struct {
	VMs    []string `json:"vms"`
	Ports  []port   `json:"ports"`
	Exempt []string `json:"exempt,omitempty"`
	Cut    bool     `json:"cut,omitempty"`
	Proof  bool     `json:"proof,omitempty"`

	Approvals []stage  `json:"approvals,omitempty"`
	Within    int64    `json:"within,omitempty"` // milliseconds
	Reason    bool     `json:"reason,omitempty"`
	Ticket    string   `json:"ticket,omitempty"`
	Glass     []string `json:"glass,omitempty"`     // as access.Principal.Name
	GlassMax  int64    `json:"glass_max,omitempty"` // milliseconds
	Azure     *azure   `json:"azure,omitempty"`
}

// azure is a policy.Azure.
type azure struct {
	Policy   string `json:"policy"`
	Document string `json:"document,omitempty"`
}

type stage struct {
	Stage string `json:"stage"`
	Count int    `json:"count"`
}

type port struct {
	Port       uint16   `json:"port"`
	Protocol   uint8    `json:"protocol"`
	Max        int64    `json:"max"` // milliseconds
	Sources    []string `json:"sources,omitempty"`
	WidestIPv4 int      `json:"widest_ipv4"`
	WidestIPv6 int      `json:"widest_ipv6"`
}

// PolicyRow returns the row of a policy; its version is counted by the query.
func PolicyRow(p policy.Policy) PutPolicyParams {
	body := policyBody{VMs: nil, Ports: nil, Exempt: texts(p.Exempt), Cut: p.Cut, Proof: p.Proof}
	body.Approvals, body.Within, body.Reason, body.Ticket = stagesOf(p.Approvals), p.Within.Milliseconds(), p.Reason, p.Ticket
	for _, who := range p.Glass.Who {
		body.Glass = append(body.Glass, who.Name())
	}
	body.GlassMax = p.Glass.Max.Milliseconds()
	if p.Azure != (policy.Azure{}) {
		body.Azure = &azure{Policy: p.Azure.Policy, Document: p.Azure.Document}
	}
	for _, vm := range p.VMs {
		body.VMs = append(body.VMs, string(vm))
	}
	for _, q := range p.Ports {
		body.Ports = append(body.Ports, port{
			Port: q.Port, Protocol: uint8(q.Protocol), Max: q.Max.Milliseconds(), Sources: texts(q.Sources),
			WidestIPv4: q.WidestIPv4, WidestIPv6: q.WidestIPv6,
		})
	}
	return PutPolicyParams{Name: p.Name, Body: text(body)}
}

// Value returns the policy that the row holds; false if it cannot be read.
func (p Policy) Value() (policy.Policy, bool) {
	var body policyBody
	if !parse(p.Body, &body) {
		return policy.Policy{}, false
	}
	exempt, ok := readAll(body.Exempt)
	v := policy.Policy{Name: p.Name, Version: p.Version, VMs: nil, Ports: nil, Exempt: exempt, Cut: body.Cut, Proof: body.Proof, Azure: policy.Azure{}}
	if body.Azure != nil {
		v.Azure = policy.Azure{Policy: body.Azure.Policy, Document: body.Azure.Document}
	}
	for _, vm := range body.VMs {
		v.VMs = append(v.VMs, firewall.VMID(vm))
	}
	for _, q := range body.Ports {
		sources, read := readAll(q.Sources)
		ok = ok && read
		v.Ports = append(v.Ports, policy.Port{
			Port: q.Port, Protocol: firewall.Protocol(q.Protocol), Max: duration(q.Max), Sources: sources,
			WidestIPv4: q.WidestIPv4, WidestIPv6: q.WidestIPv6,
		})
	}
	v.Approvals, v.Within, v.Reason, v.Ticket = approvals(body.Approvals), duration(body.Within), body.Reason, body.Ticket
	v.Glass.Max = duration(body.GlassMax)
	for _, s := range body.Glass {
		who, err := access.ParsePrincipal("who", s)
		ok = ok && err == nil
		v.Glass.Who = append(v.Glass.Who, who)
	}
	return v, ok
}

func stagesOf(list []policy.Approval) []stage {
	var out []stage
	for _, a := range list {
		out = append(out, stage{Stage: a.Stage, Count: a.Count})
	}
	return out
}

func approvals(list []stage) []policy.Approval {
	var out []policy.Approval
	for _, s := range list {
		out = append(out, policy.Approval{Stage: s.Stage, Count: s.Count})
	}
	return out
}

func texts(list []netip.Prefix) []string {
	var out []string
	for _, p := range list {
		out = append(out, p.String())
	}
	return out
}

// readAll reads what texts wrote; false if any of it cannot be read: a list of
// sources that became empty would mean any source.
func readAll(list []string) (out []netip.Prefix, ok bool) {
	for _, s := range list {
		p, err := firewall.ParseSource(s)
		if err != nil {
			return nil, false
		}
		out = append(out, p)
	}
	return out, true
}

func parse(text string, v any) bool { return json.Unmarshal([]byte(text), v) == nil }

// LockRow returns the row of a lock.
func LockRow(l access.Lock) Lock {
	return Lock{
		VM: string(l.Door.VM), Port: int64(l.Door.Port), Protocol: int64(l.Door.Protocol),
		Exempt: prefixes(l.Exempt), Cut: flag(l.Cut), Proof: flag(l.Proof), Policy: l.Policy, Since: Millis(l.Since),
		Issuer: l.By.Issuer, Subject: l.By.Subject, Display: l.By.Display, Accepts: losses(l.Accepts),
	}
}

// Value returns the lock that the row holds; false if it is on no door.
func (l Lock) Value() (access.Lock, bool) {
	d, ok := door(l.VM, l.Port, l.Protocol)
	return access.Lock{
		Door: d, Exempt: parsePrefixes(l.Exempt), Cut: l.Cut != 0, Proof: l.Proof != 0, Accepts: parseLosses(l.Accepts), Policy: l.Policy,
		Since: Instant(l.Since), By: principal(l.Issuer, l.Subject, l.Display),
	}, ok
}

// Value returns the door that was given back; false if it is none.
func (u Unlock) Value() (firewall.Door, bool) { return door(u.VM, u.Port, u.Protocol) }

// Lifetime returns the columns that say when a token ends; the zero time is never.
func Lifetime(expires time.Time) (endless, at int64) { return flag(expires.IsZero()), Millis(expires) }

// Ends returns when the token expires, zero for never, and when it was revoked,
// zero if it was not.
func (t Token) Ends() (expires, revoked time.Time) {
	if t.Endless == 1 {
		return time.Time{}, past(t.Revoked)
	}
	if expires = past(t.Expires); expires.IsZero() {
		expires = past(-1) // no end is written as endless, and in no other way
	}
	return expires, past(t.Revoked)
}

// Holder returns the principal that the token stands for.
func (t Token) Holder() access.Principal { return principal(t.Issuer, t.Subject, t.Display) }
