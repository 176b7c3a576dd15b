package world

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// An Instance is a virtual machine.
type Instance struct {
	Resource
	VPC, Subnet string
	State       string   // "running", "stopped", …
	Type        string   // "m7i.large"
	Platform    string   // "windows", or ""
	Interfaces  []string // by device index; the first is the primary one
	Image       string
	KeyName     string
	Launched    time.Time
	Reservation string
}

// Running reports whether the instance answers packets.
func (i Instance) Running() bool { return i.State == "running" }

// An Interface is a network interface.
type Interface struct {
	Resource
	VPC, Subnet string
	Instance    string // "" while it is attached to none
	Attachment  string
	Description string
	MAC         string
	Private     []PrivateAddress // the first is the primary one
	IPv6        []netip.Addr
	Groups      []string // at least one
	Requester   string   // the service that manages it, or ""
	Type        string   // "interface"
	Tracking    Tracking
}

// A PrivateAddress of an interface, with the public one that is translated to it.
type PrivateAddress struct {
	Addr       netip.Addr
	Public     netip.Addr
	Allocation string // of an Elastic IP address, or ""
}

// Tracking is how long security groups remember an idle connection, in seconds;
// 0 means the default.
type Tracking struct{ TCPEstablished, UDP, UDPStream int }

// An Address is an Elastic IP address.
type Address struct {
	Resource
	Public      netip.Addr
	Association string
	Interface   string
	Private     netip.Addr
}

// Idle is how long the connections of an interface may be idle: 350 s on
// instances of the sixth Nitro generation and 5 days on others, unless it says
// otherwise. (EC2 user guide, connection tracking, 2025.)
func (w *World) Idle(at time.Time, n Interface) time.Duration {
	seconds := n.Tracking.TCPEstablished
	if seconds == 0 {
		seconds = 432000
		i, _ := w.Instances.Get(at, n.Instance)
		if family, _, _ := strings.Cut(i.Type, "."); slices.Contains([]string{"m8i", "c8i", "r8i", "m8a", "c8a", "r8a"}, family) {
			seconds = 350
		}
	}
	return time.Duration(seconds) * time.Second
}

// Interface returns an interface that the account may change: its own, and not
// one that a service manages.
func (w *World) Interface(m Moment, account, id string) (Interface, error) {
	if _, err := w.Resource(m, account, id); err != nil {
		return Interface{}, w.Absent("eni", id)
	}
	n, _ := w.Interfaces.Get(m.Now, id)
	if n.Requester != "" {
		return Interface{}, Refuse("OperationNotPermitted", "You are not allowed to manage '%s' interfaces.", n.Type)
	}
	return n, nil
}

// SetGroups makes an interface wear exactly the given groups.
func (w *World) SetGroups(m Moment, account, id string, groups []string) error {
	n, err := w.Interface(m, account, id)
	if err != nil {
		return err
	}
	for i, g := range groups {
		group, err := w.Group(m, account, g)
		if err != nil {
			return err
		}
		if group.VPC != n.VPC {
			return Refuse("InvalidParameter", "Security group %s and subnet %s belong to different networks.", g, n.Subnet)
		}
		if slices.Contains(groups[:i], g) {
			return Refuse("InvalidParameterValue", "Duplicate value '%s' in groups", g)
		}
	}
	if len(groups) > w.Quotas.GroupsPerInterface {
		return Refuse("SecurityGroupsPerInterfaceLimitExceeded", "The maximum number of security groups per interface has been reached.")
	}
	n.Groups = slices.Clone(groups)
	w.Interfaces.Put(m.Now, n)
	return nil
}

// SetInstanceGroups does the same to the only interface of an instance.
func (w *World) SetInstanceGroups(m Moment, account, id string, groups []string) error {
	if _, err := w.Resource(m, account, id); err != nil {
		return w.Absent("i", id)
	}
	i, _ := w.Instances.Get(m.Now, id)
	if len(i.Interfaces) != 1 {
		return Refuse("InvalidInstanceID", "There are multiple interfaces attached to instance '%s'. Please specify an interface ID for the operation instead.", id)
	}
	return w.SetGroups(m, account, i.Interfaces[0], groups)
}

// SetTracking changes how long an interface's idle connections are remembered;
// 0 leaves a value as it is. The bounds are those of the API reference.
func (w *World) SetTracking(m Moment, account, id string, t Tracking) error {
	n, err := w.Interface(m, account, id)
	if err != nil {
		return err
	}
	for _, x := range []struct {
		name        string
		value       int
		least, most int
		into        *int
	}{
		{"TcpEstablishedTimeout", t.TCPEstablished, 60, 432000, &n.Tracking.TCPEstablished},
		{"UdpTimeout", t.UDP, 30, 60, &n.Tracking.UDP},
		{"UdpStreamTimeout", t.UDPStream, 60, 180, &n.Tracking.UDPStream},
	} {
		if x.value == 0 {
			continue
		}
		if x.value < x.least || x.value > x.most {
			return Refuse("InvalidParameterValue", "%s must be between %d and %d seconds", x.name, x.least, x.most)
		}
		*x.into = x.value
	}
	w.Interfaces.Put(m.Now, n)
	return nil
}
