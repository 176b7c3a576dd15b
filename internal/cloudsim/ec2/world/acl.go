package world

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// A NetworkACL judges what enters and leaves its subnets, packet by packet.
type NetworkACL struct {
	Resource
	VPC     string
	Default bool
	Entries []Entry // sorted: ingress first, by number
}

// An Entry is one line of a network ACL.
type Entry struct {
	Number   int
	Egress   bool
	Allow    bool
	Protocol int // the IANA number; -1 for all
	CIDR     netip.Prefix
	// First and Last are ports, or ICMP type and code with -1 for all.
	First, Last int
}

// An EntrySpec is an entry as a call describes it.
type EntrySpec struct {
	Number               int
	Egress               bool
	Action, Protocol     string
	CIDR, CIDR6          string
	From, To, Type, Code *int
}

// Entry checks what a call says and returns the entry in canonical form.
func (s EntrySpec) Entry() (Entry, error) {
	e := Entry{Number: s.Number, Egress: s.Egress, Allow: s.Action == "allow", First: All, Last: All}
	if !e.Allow && s.Action != "deny" {
		return Entry{}, Refuse("InvalidParameterValue", "Value (%s) for parameter ruleAction is invalid. Valid values are: allow | deny", s.Action)
	}
	if (s.CIDR == "") == (s.CIDR6 == "") {
		return Entry{}, Refuse("MissingParameter", "The request must contain exactly one of the parameters cidrBlock and ipv6CidrBlock")
	}
	var err error
	if e.CIDR, err = network(s.CIDR, s.CIDR6); err != nil {
		return Entry{}, err
	}
	as := Spec{Protocol: s.Protocol, First: s.From, Last: s.To}
	switch strings.ToLower(s.Protocol) {
	case "icmp", "1", "icmpv6", "58":
		as.First, as.Last = s.Type, s.Code
	}
	var r Rule
	if err := as.match(&r); err != nil {
		return Entry{}, err
	}
	e.Protocol, e.First, e.Last = Number(r.Protocol), r.First, r.Last
	return e, nil
}

// lastEntry is the number that one can still choose: what comes after it denies
// everything.
const lastEntry = 32766

// PutEntry puts an entry into an ACL; replace says that there has to be one with
// its number and direction, instead of none.
func (w *World) PutEntry(m Moment, account, id string, e Entry, replace bool) error {
	a, err := w.acl(m, account, id)
	if err != nil {
		return err
	}
	if e.Number < 1 || e.Number > lastEntry {
		return Refuse("InvalidParameterValue", "Value (%d) for parameter ruleNumber is invalid. Rule number must be between 1 and %d.", e.Number, lastEntry)
	}
	e.CIDR = e.CIDR.Masked()
	i := slices.IndexFunc(a.Entries, e.sameLine)
	if replace != (i >= 0) {
		if replace {
			return Refuse("InvalidNetworkAclEntry.NotFound", "The network acl entry identified by %d does not exist.", e.Number)
		}
		return Refuse("NetworkAclEntryAlreadyExists", "The network acl entry identified by %d already exists.", e.Number)
	}
	a.Entries = slices.Clone(a.Entries)
	if replace {
		a.Entries[i] = e
	} else {
		a.Entries = append(a.Entries, e)
	}
	n := 0
	for _, x := range a.Entries {
		if x.Egress == e.Egress && x.CIDR.Addr().Is4() == e.CIDR.Addr().Is4() {
			n++
		}
	}
	if n > w.Quotas.EntriesPerACL {
		return Refuse("NetworkAclEntryLimitExceeded", "The maximum number of network acl entries has been reached.")
	}
	slices.SortFunc(a.Entries, func(x, y Entry) int {
		return cmp.Or(egressLast(x.Egress)-egressLast(y.Egress), x.Number-y.Number)
	})
	w.NetworkACLs.Put(m.Now, a)
	return nil
}

// DeleteEntry takes an entry out of an ACL.
func (w *World) DeleteEntry(m Moment, account, id string, egress bool, number int) error {
	a, err := w.acl(m, account, id)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(a.Entries, Entry{Number: number, Egress: egress}.sameLine)
	if i < 0 {
		return Refuse("InvalidNetworkAclEntry.NotFound", "The network acl entry identified by %d does not exist.", number)
	}
	a.Entries = slices.Delete(slices.Clone(a.Entries), i, i+1)
	w.NetworkACLs.Put(m.Now, a)
	return nil
}

func (w *World) acl(m Moment, account, id string) (NetworkACL, error) {
	if _, err := w.Resource(m, account, id); err != nil {
		return NetworkACL{}, w.Absent("acl", id)
	}
	a, _ := w.NetworkACLs.Get(m.Now, id)
	return a, nil
}

func (e Entry) sameLine(x Entry) bool { return e.Number == x.Number && e.Egress == x.Egress }

func egressLast(egress bool) int {
	if egress {
		return 1
	}
	return 0
}
