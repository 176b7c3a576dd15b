package config

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/document"
	"github.com/sesame-access/sesame/internal/errkind"
)

// Azure says which virtual machines the daemon protects, and how.
type Azure struct {
	// Subscriptions and ManagementGroups are what is protected; none by default.
	Subscriptions, ManagementGroups []string
	// Cloud is one of AzurePublic, AzureGovernment and AzureChina. Endpoint, Audience
	// and Authority are URLs instead of its own, and CAFile the absolute path of
	// authorities to trust besides the system's. All four may be empty.
	Cloud, Endpoint, Audience, Authority, CAFile string
	// Tenant is that of the identities, empty for the environment's. Reader, Opener,
	// Closer and Locker are their client ids. One that is empty is Reader's, and
	// without that the SDK's default credentials.
	Tenant, Reader, Opener, Closer, Locker string
	// Grants, Exempt and Locks are the priorities that rules of ours get, and
	// OnlyThere that others are never used.
	Grants, Exempt, Locks Priorities
	OnlyThere             bool
	// MayOutrank names foreign Denies for everybody that openings may be put above.
	MayOutrank []string
	// OwnGroups says that a machine without any network security group may get one of
	// Sesame's own when it is locked.
	OwnGroups bool
	// Resync is the daemon's for network security groups.
	Resync time.Duration
}

// Any reports whether there is anything to protect.
func (a Azure) Any() bool { return len(a.Subscriptions)+len(a.ManagementGroups) > 0 }

// Priorities are numbers of rules, highest priority first.
type Priorities struct{ First, Last int }

// String writes p as a file has it: "200-2999".
func (p Priorities) String() string { return fmt.Sprintf("%d-%d", p.First, p.Last) }

// The clouds of Azure.
const (
	AzurePublic     = "public"
	AzureGovernment = "usgovernment"
	AzureChina      = "china"
)

// The priorities that Azure has.
const (
	FirstPriority = 100
	LastPriority  = 4096
)

// The bounds of what a file may say about Azure.
const (
	MaxScopes   = 1000
	MaxOutranks = 256
)

// defaultAzure is what a file comes to that says nothing.
func defaultAzure() Azure {
	return Azure{
		Cloud: AzurePublic, Grants: Priorities{First: 200, Last: 2999}, Exempt: Priorities{First: 3000, Last: 3499},
		Locks: Priorities{First: 3500, Last: LastPriority}, Resync: 2 * time.Minute,
	}
}

// azureFrom reads what a file says about Azure.
func azureFrom(v document.Value) Azure {
	def := defaultAzure()
	m := v.Map("subscriptions", "management_groups", "cloud", "endpoint", "audience", "authority", "ca_file", "tenant",
		"reader", "opener", "closer", "locker", "windows", "may_outrank", "own_nsg", "resync")
	w := m.Get("windows").Map("grants", "exempt", "locks", "only")
	out := Azure{
		Subscriptions:    document.Texts(m.Get("subscriptions"), 0, MaxScopes, parseGUID, cmp.Compare),
		ManagementGroups: document.Texts(m.Get("management_groups"), 0, MaxScopes, parseManagementGroup, cmp.Compare),
		Cloud:            document.Text(m.Get("cloud"), def.Cloud, parseAzureCloud),
		Endpoint:         document.Text(m.Get("endpoint"), "", parseEndpoint),
		Audience:         document.Text(m.Get("audience"), "", parseEndpoint),
		Authority:        document.Text(m.Get("authority"), "", parseEndpoint),
		CAFile:           document.Text(m.Get("ca_file"), "", parsePath),
		Tenant:           document.Text(m.Get("tenant"), "", parseGUID),
		Reader:           document.Text(m.Get("reader"), "", parseGUID),
		Opener:           document.Text(m.Get("opener"), "", parseGUID),
		Closer:           document.Text(m.Get("closer"), "", parseGUID),
		Locker:           document.Text(m.Get("locker"), "", parseGUID),
		Grants:           document.Text(w.Get("grants"), def.Grants, parsePriorities),
		Exempt:           document.Text(w.Get("exempt"), def.Exempt, parsePriorities),
		Locks:            document.Text(w.Get("locks"), def.Locks, parsePriorities),
		OnlyThere:        w.Get("only").Bool(),
		MayOutrank:       document.Texts(m.Get("may_outrank"), 0, MaxOutranks, parseRuleName, cmp.Compare),
		OwnGroups:        m.Get("own_nsg").Bool(),
		Resync:           document.Text(m.Get("resync"), def.Resync, parseResync),
	}
	if out.Grants.Last >= out.Exempt.First || out.Exempt.Last >= out.Locks.First {
		m.Get("windows").Fail(errkind.New(errkind.Invalid, "grants %s, exempt %s and locks %s must follow each other: a lock stands below what it lets through", out.Grants, out.Exempt, out.Locks))
	}
	return out
}

// parseGUID reads the id of a subscription, a tenant or an identity.
func parseGUID(s string) (string, error) {
	lower := strings.ToLower(s)
	parts := strings.Split(lower, "-")
	ok := len(parts) == 5
	for i, n := range []int{8, 4, 4, 4, 12} {
		ok = ok && len(parts[i]) == n && strings.Trim(parts[i], "0123456789abcdef") == ""
	}
	if !ok {
		return "", errkind.Bad("id", s, "a GUID such as 00000000-0000-0000-0000-000000000000")
	}
	return lower, nil
}

// parseManagementGroup reads the name of a management group.
func parseManagementGroup(s string) (string, error) {
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_.()"
	const longest = 90
	if s == "" || len(s) > longest || strings.Trim(s, letters) != "" || strings.HasSuffix(s, ".") {
		return "", errkind.Bad("group", s, "the name of a management group")
	}
	return s, nil
}

// parseRuleName reads the name of a rule.
func parseRuleName(s string) (string, error) {
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_."
	const longest = 80
	if s == "" || len(s) > longest || strings.Trim(s, letters) != "" {
		return "", errkind.Bad("rule", s, "the name of a rule, such as DenyAll")
	}
	return s, nil
}

func parseAzureCloud(s string) (string, error) {
	switch s {
	case AzurePublic, AzureGovernment, AzureChina:
		return s, nil
	}
	return "", errkind.Bad("cloud", s, `"public", "usgovernment" or "china"`)
}

func parsePriorities(s string) (Priorities, error) {
	first, last, _ := strings.Cut(s, "-")
	a, errA := strconv.Atoi(first)
	b, errB := strconv.Atoi(last)
	p := Priorities{First: a, Last: b}
	if errA != nil || errB != nil || p.String() != s || a < FirstPriority || b > LastPriority || a > b {
		return Priorities{}, errkind.Bad("priorities", s, fmt.Sprintf("two numbers from %d to %d, such as 200-2999", FirstPriority, LastPriority))
	}
	return p, nil
}

// azure writes what Sesame does in Azure.
func (w *writer) azure(a Azure) {
	const in = "  "
	same := func(s string) string { return s }
	optional := func(key, value, example string) {
		if value == "" {
			w.comment(in, key+": "+example)
		} else {
			w.text(in, key, value)
		}
	}
	w.comment("", "The Azure virtual machines whose network security groups Sesame writes.")
	w.line("azure:")
	w.comment(in, "Subscriptions by id, and those below management groups, at any depth.")
	list(w, in, "subscriptions", a.Subscriptions, same)
	list(w, in, "management_groups", a.ManagementGroups, same)
	w.comment(in, "public, usgovernment or china, and where its APIs are if not where they usually are.")
	w.text(in, "cloud", a.Cloud)
	optional("endpoint", a.Endpoint, "https://127.0.0.1:4567")
	optional("audience", a.Audience, "https://management.azure.com")
	optional("authority", a.Authority, "https://login.microsoftonline.com")
	optional("ca_file", a.CAFile, "/etc/sesame/azure-ca.pem")
	w.comment(in, "Client ids of managed or workload identities: one that looks, and those that open,",
		"close and lock. Those that are not named are the reader's; without a reader the",
		"SDK's default credentials are used.")
	const example = "00000000-0000-0000-0000-000000000000"
	optional("tenant", a.Tenant, example)
	optional("reader", a.Reader, example)
	optional("opener", a.Opener, example)
	optional("closer", a.Closer, example)
	optional("locker", a.Locker, example)
	w.comment(in, "The priorities of our rules. Others are used where these leave no room, unless only.")
	w.line("  windows:")
	w.line("    grants: %s", document.Scalar(a.Grants.String()))
	w.line("    exempt: %s", document.Scalar(a.Exempt.String()))
	w.line("    locks: %s", document.Scalar(a.Locks.String()))
	w.line("    only: %t", a.OnlyThere)
	w.comment(in, "Names of Deny rules for everybody that a grant may be put above.")
	list(w, in, "may_outrank", a.MayOutrank, same)
	w.comment(in, "Whether a machine without a group in front of it gets one of ours when it is locked.")
	w.line("  own_nsg: %t", a.OwnGroups)
	w.comment(in, "How long a group goes unread when nothing happens.")
	w.text(in, "resync", access.FormatDuration(a.Resync))
}
