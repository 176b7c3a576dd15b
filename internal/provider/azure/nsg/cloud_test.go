package nsg_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/dialect"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
	azrule "github.com/sesame-access/sesame/internal/provider/azure/rule"
)

const group = "/subscriptions/0b1f6471/resourceGroups/RG/providers/Microsoft.Network/networkSecurityGroups/nsg-1"

var (
	fw   = firewall.ID(strings.ToLower(group))
	keys = firewall.Keyring{Instance: "main", Keys: []firewall.MarkKey{{ID: "a", Secret: []byte("a secret of 32 bytes for testing")}}}
	web1 = firewall.VMID("/subscriptions/0b1f6471/resourceGroups/RG/providers/Microsoft.Compute/virtualMachines/web-1")
	web2 = firewall.VMID("/subscriptions/0b1f6471/resourceGroups/RG/providers/Microsoft.Compute/virtualMachines/Web_2")
	ssh  = firewall.Door{VM: web1, Protocol: firewall.TCP, Port: 22}
	rdp  = firewall.Door{VM: web1, Protocol: firewall.TCP, Port: 3389}
	ssh2 = firewall.Door{VM: web2, Protocol: firewall.TCP, Port: 22}
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// attached is an IP configuration with one address.
func attached(vm firewall.VMID, address string) dialect.Attachment {
	return dialect.Attachment{
		ID: string(vm) + "/nic/" + address, VM: vm, Addresses: []netip.Addr{netip.MustParseAddr(address)},
		View: network,
	}
}

// network is how everything in one virtual network sees names.
var network = &azrule.View{VirtualNetwork: azrule.Set{Sure: []netip.Prefix{prefix("10.0.0.0/16"), prefix("192.0.2.0/24"), prefix("fd00::/64")}}, Known: true}

func attachments() []dialect.Attachment {
	return []dialect.Attachment{attached(web1, "10.0.0.4"), attached(web1, "fd00::4"), attached(web2, "10.0.0.5"), attached(web2, "fd00::5")}
}

// A security is a rule's body as people write it.
type security map[string]any

// foreign returns a foreign rule, for anybody to anywhere unless changed.
func foreign(name string, priority int, access string, ports string, sources ...string) string {
	props := security{
		"protocol": "*", "access": access, "direction": "Inbound", "priority": priority, "futureField": security{"a": 1.50},
		"sourcePortRange": "*", "sourceAddressPrefix": "*", "destinationPortRange": ports, "destinationAddressPrefix": "*",
		"sourceAddressPrefixes": []string{}, "destinationPortRanges": []string{},
	}
	if len(sources) > 0 {
		props["sourceAddressPrefix"], props["sourceAddressPrefixes"] = "", sources
	}
	return changed(security{"name": name, "id": group + "/securityRules/" + name, "etag": "W/\"1\"", "properties": props})
}

// changed writes a rule with other properties.
func changed(rule any, properties ...any) string {
	var x security
	text, ok := rule.(string)
	if !ok {
		raw, err := json.Marshal(rule)
		if err != nil {
			panic(err)
		}
		text = string(raw)
	}
	if err := json.Unmarshal([]byte(text), &x); err != nil {
		panic(err)
	}
	props := x["properties"].(map[string]any)
	for i := 0; i < len(properties); i += 2 {
		if props[properties[i].(string)] = properties[i+1]; properties[i+1] == nil {
			delete(props, properties[i].(string))
		}
	}
	raw, err := json.MarshalIndent(x, "  ", " ")
	if err != nil {
		panic(err)
	}
	return string(raw)
}

func defaultRule(name string, priority int, access, from, to string) string {
	return changed(foreign(name, priority, access, "*"), "sourceAddressPrefix", from, "destinationAddressPrefix", to)
}

// document returns a group as the API writes it.
func document(version int, rules ...string) string {
	return fmt.Sprintf(`{"name":"nsg-1","id":%q,"etag":"W/\"%d\"","location":"westus","tags":{"Owner":"\u00e9"},
 "properties":{"provisioningState":"Succeeded","flushConnection":false,"unknown":{"a":[1,{"a":2,"a":3}]},"securityRules":[%s],
 "defaultSecurityRules":[%s,%s,%s],"subnets":[{"id":"/subnets/a"}]}}`, group, version, strings.Join(rules, ",\n  "), defaultRules[0], defaultRules[1], defaultRules[2])
}

var defaultRules = []string{
	defaultRule("AllowVnetInBound", 65000, "Allow", "VirtualNetwork", "VirtualNetwork"),
	defaultRule("AllowAzureLoadBalancerInBound", 65001, "Allow", "AzureLoadBalancer", "*"),
	defaultRule("DenyAllInBound", 65500, "Deny", "*", "*"),
}

func parse(text string) *resource.Group {
	g, err := resource.Parse([]byte(text))
	if err != nil {
		panic(fmt.Sprintf("%v in\n%s", err, text))
	}
	return g
}

// A cloud is a network security group behind an API that is as strict as Azure's,
// with what the SDK's half of the provider does around this package. It decides
// packets by itself.
type cloud struct {
	mu      sync.Mutex
	now     time.Time
	text    string
	version int
	history []string
	writes  []nsg.Write // that were made
	course  nsg.Course
	fault   string

	reading     nsg.Reading // all but the group
	conditional bool
	rooms       int
}

func newCloud(rules ...string) *cloud {
	return &cloud{
		now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC), text: document(1, rules...), version: 1,
		reading: nsg.Reading{Reading: dialect.Reading{Keys: keys, Attachments: attachments()}, Settled: true}, conditional: true, rooms: 1000,
	}
}

func (c *cloud) Inventory(ctx context.Context) ([]inventory.VM, error) {
	var out []inventory.VM
	for _, a := range c.reading.Attachments {
		i := slices.IndexFunc(out, func(v inventory.VM) bool { return v.ID == a.VM })
		if i < 0 {
			i = len(out)
			out = append(out, inventory.VM{ID: a.VM, Name: a.VM.Name()})
		}
		out[i].Paths = append(out[i].Paths, inventory.Path{Name: a.ID, To: a.Addresses, Hops: []inventory.Hop{{Firewall: fw}}})
	}
	slices.SortFunc(out, func(a, b inventory.VM) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return out, ctx.Err()
}

func (c *cloud) Observe(ctx context.Context, _ firewall.ID, _ []firewall.Key) (provider.Snapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return provider.Snapshot{}, err
	}
	if c.fault == "down" {
		return provider.Snapshot{}, errors.New("down")
	}
	return c.read().Snapshot(c.now), nil
}

// read returns the reading; where no other group is named, this one is the
// subnet's.
func (c *cloud) read() nsg.Reading {
	r := c.reading
	r.Group = parse(c.text)
	r.Attachments = slices.Clone(r.Attachments)
	for i, a := range r.Attachments {
		if a.Interface == nil {
			r.Attachments[i].Subnet = r.Group
		}
	}
	return r
}

func (c *cloud) Compile(s provider.Snapshot, want firewall.Wants, _ []plan.Change) (plan.Plan, error) {
	return nsg.Compile(s, want)
}

func (c *cloud) Limits(firewall.ID) provider.Limits {
	return provider.Limits{Openings: c.rooms, Conditional: c.conditional}
}

func (c *cloud) Apply(ctx context.Context, s provider.Snapshot, p plan.Plan) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.conditional && s.Version != parse(c.text).ETag {
		return provider.ErrConflict // it was looked at again, before anything
	}
	writes, err := nsg.Writes(s, p.Changes, nsg.Way{Conditional: c.conditional, Course: c.course}, c.now)
	for i := 0; err == nil && i < len(writes); i++ {
		a := c.send(writes[i])
		a.Deletes = writes[i].Method == http.MethodDelete
		if err = a.Err(c.now); i > 0 && errors.Is(err, provider.ErrConflict) {
			err = errors.New("a conflict, with something written")
		}
	}
	c.course = c.course.After(err)
	return err
}

func refusal(status int, code, message string) nsg.Answer {
	return nsg.Answer{Status: status, Body: fmt.Appendf(nil, `{"error":{"code":%q,"message":%q,"details":[]}}`, code, message)}
}

// send is the API.
func (c *cloud) send(w nsg.Write) nsg.Answer {
	switch c.fault {
	case "lost", "down":
		return nsg.Answer{}
	case "busy":
		return refusal(429, "RetryableErrorDueToAnotherOperation", "Operation PutSecurityRuleOperation is updating resource")
	case "refused":
		return refusal(400, "InvalidRequestFormat", "simulated")
	case "refused as a whole":
		if w.Path == "" {
			return refusal(400, "InvalidRequestFormat", "simulated")
		}
	case "conflicts":
		if w.IfMatch != "" {
			return refusal(412, "PreconditionFailed", "Precondition failed.")
		}
	}
	g := parse(c.text)
	if w.IfMatch != "" && w.IfMatch != g.ETag {
		return refusal(412, "PreconditionFailed", "Precondition failed.")
	}
	text := w.Body
	if name, child := strings.CutPrefix(w.Path, "/securityRules/"); child {
		list := rulesIn(c.text)
		i := slices.IndexFunc(list, func(r string) bool { return strings.EqualFold(nameIn(r), name) })
		switch {
		case w.Method == http.MethodDelete && i < 0:
			return nsg.Answer{Status: 204}
		case w.Method == http.MethodDelete:
			list = slices.Delete(list, i, i+1)
		case i >= 0:
			list[i] = w.Body
		default:
			list = append(list, w.Body)
		}
		text = document(c.version, list...)
	}
	if why := c.admissible(text); why != "" {
		return refusal(400, "SecurityRuleConflict", why)
	}
	c.become(text)
	c.writes = append(c.writes, w)
	if c.fault == "ambiguous" {
		return nsg.Answer{Status: 500}
	}
	return nsg.Answer{Status: 200, Body: []byte(c.text)}
}

// become changes the document, and its version.
func (c *cloud) become(text string) {
	c.version++
	c.text = regexp.MustCompile(`"etag":"W/\\"\d+\\"","location"`).ReplaceAllString(text, fmt.Sprintf(`"etag":"W/\"%d\"","location"`, c.version))
	c.history = append(c.history, c.text)
}

type wire struct {
	Name       string `json:"name"`
	Properties struct {
		Description  string   `json:"description"`
		Protocol     string   `json:"protocol"`
		Access       string   `json:"access"`
		Direction    string   `json:"direction"`
		Priority     int      `json:"priority"`
		From         string   `json:"sourceAddressPrefix"`
		Froms        []string `json:"sourceAddressPrefixes"`
		To           string   `json:"destinationAddressPrefix"`
		Tos          []string `json:"destinationAddressPrefixes"`
		Port         string   `json:"destinationPortRange"`
		Ports        []string `json:"destinationPortRanges"`
		Provisioning string   `json:"provisioningState"`
	} `json:"properties"`
}

type wireGroup struct {
	Properties struct {
		Rules    []json.RawMessage `json:"securityRules"`
		Defaults []json.RawMessage `json:"defaultSecurityRules"`
	} `json:"properties"`
}

func rulesIn(text string) []string {
	var g wireGroup
	if err := json.Unmarshal([]byte(text), &g); err != nil {
		panic(err)
	}
	var out []string
	for _, r := range g.Properties.Rules {
		out = append(out, string(r))
	}
	return out
}

func wireOf(text string) wire {
	var w wire
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		panic(err)
	}
	return w
}

func nameIn(rule string) string { return wireOf(rule).Name }

// admissible says why Azure would refuse the document.
func (c *cloud) admissible(text string) string {
	names, numbers := map[string]bool{}, map[string]bool{}
	list := rulesIn(text)
	for _, r := range list {
		w := wireOf(r)
		number := fmt.Sprint(w.Properties.Priority, w.Properties.Direction)
		families := map[bool]bool{}
		for _, s := range append(append([]string{w.Properties.From, w.Properties.To}, w.Properties.Froms...), w.Properties.Tos...) {
			if p, err := netip.ParsePrefix(s); err == nil {
				families[p.Addr().Is4()] = true
			} else if a, err := netip.ParseAddr(s); err == nil {
				families[a.Is4()] = true
			}
		}
		switch {
		case names[strings.ToLower(w.Name)]:
			return w.Name + " is there twice"
		case numbers[number]:
			return "number twice: " + number
		case w.Properties.Priority < 100 || w.Properties.Priority > 4096:
			return "number " + number
		case !regexp.MustCompile(`^\w([\w.-]{0,78}\w)?$`).MatchString(w.Name):
			return "name " + w.Name
		case len(w.Properties.Description) > 140:
			return "description " + w.Properties.Description
		case len(families) > 1:
			return "ResourceCannotContainAddressPrefixesFromDifferentAddressFamilies"
		case w.Properties.From != "" && len(w.Properties.Froms) > 0 || w.Properties.To != "" && len(w.Properties.Tos) > 0:
			return "both twins"
		}
		names[strings.ToLower(w.Name)], numbers[number] = true, true
	}
	if len(list) > c.rooms {
		return "too many"
	}
	return ""
}

// A table is a document for deciding packets.
type table []wire

func tableOf(text string) table {
	var g wireGroup
	if err := json.Unmarshal([]byte(text), &g); err != nil {
		panic(err)
	}
	var out table
	for _, raw := range slices.Concat(g.Properties.Rules, g.Properties.Defaults) {
		out = append(out, wireOf(string(raw)))
	}
	return out
}

// admits decides a packet to an address, rule by rule.
func (x table) admits(to netip.Addr, d firewall.Door, from netip.Addr) bool {
	best, allowed := 1<<30, false
	for _, w := range x {
		p := w.Properties
		if p.Direction != "Inbound" || p.Priority >= best || !strings.EqualFold(p.Protocol, "*") && !strings.EqualFold(p.Protocol, d.Protocol.String()) {
			continue
		}
		if within(from, append(p.Froms, p.From)) && within(to, append(p.Tos, p.To)) && portIn(d.Port, append(p.Ports, p.Port)) {
			best, allowed = p.Priority, strings.EqualFold(p.Access, "Allow")
		}
	}
	return allowed
}

func within(a netip.Addr, list []string) bool {
	return slices.ContainsFunc(list, func(s string) bool {
		switch s {
		case "*":
			return true
		case "VirtualNetwork":
			s = "10.0.0.0/16"
			return prefix(s).Contains(a) || prefix("192.0.2.0/24").Contains(a) || prefix("fd00::/64").Contains(a)
		}
		if x, err := netip.ParseAddr(s); err == nil {
			return x == a
		}
		p, err := netip.ParsePrefix(s)
		return err == nil && p.Contains(a)
	})
}

func portIn(n uint16, list []string) bool {
	return slices.ContainsFunc(list, func(s string) bool {
		var first, last uint16
		switch k, _ := fmt.Sscanf(s, "%d-%d", &first, &last); {
		case s == "*":
			return true
		case k == 1:
			last = first
		}
		return s != "" && first <= n && n <= last
	})
}

// packets returns the packet test of a document: to the VM's address of the
// source's family.
func (c *cloud) packets(text string) func(firewall.Door, netip.Addr) bool {
	var x table // once it is needed
	return func(d firewall.Door, from netip.Addr) bool {
		if x == nil {
			x = tableOf(text)
		}
		return slices.ContainsFunc(c.reading.Attachments, func(a dialect.Attachment) bool {
			return a.VM == d.VM && a.Addresses[0].Is4() == from.Is4() && x.admits(a.Addresses[0], d, from)
		})
	}
}

// edit changes the list of rules by hand.
func (c *cloud) edit(t *testing.T, change func([]string) []string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	text := document(c.version, change(rulesIn(c.text))...)
	if why := c.admissible(text); why != "" {
		t.Fatalf("by hand: %s", why)
	}
	c.become(text)
}

// foreign returns the foreign rules, byte for byte.
func (c *cloud) foreign() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, r := range rulesIn(c.text) {
		if !strings.HasPrefix(nameIn(r), "sesame-main-") {
			fmt.Fprintln(&b, r)
		}
	}
	return b.String()
}
