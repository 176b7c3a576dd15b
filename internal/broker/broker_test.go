package broker_test

import (
	"context"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/inventory"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/provider/memory"
	"github.com/sesame-access/sesame/internal/simtest"
	"github.com/sesame-access/sesame/internal/store"
)

// bench is a broker with everything real around it but the firewall and the time.
type bench struct {
	*simtest.Installation
	ctx    context.Context
	world  *memory.World
	clocks *simtest.Clocks
}

// in plays a test in a bubble, on a bench with one machine, web-1, whose port 22
// a policy called ssh has locked.
func in(t *testing.T, test func(t *testing.T, b bench)) {
	t.Helper()
	behind(t, memory.Numbered, test)
}

// behind is in for a machine behind another kind of firewall.
func behind(t *testing.T, d memory.Dialect, test func(t *testing.T, b bench)) {
	t.Helper()
	template := filepath.Join(t.TempDir(), "template.db")
	if err := simtest.Template(t.Context(), template); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "sesame.db")
	synctest.Test(t, func(t *testing.T) {
		world := memory.NewWorld(firewall.Keyring{
			Instance: "bench", Keys: []firewall.MarkKey{{ID: "k1", Secret: []byte("0123456789abcdef")}},
		})
		world.Add(memory.Config{ID: "fw", Dialect: d})
		for _, name := range []string{"web-1", "web-2"} {
			world.AddVM(machine(name))
		}
		clocks := simtest.NewClocks()
		i, err := simtest.Install(t.Context(), template, path, clocks, world)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := i.Close(); err != nil {
				t.Error(err)
			}
		}()
		i.Start(t.Context())
		synctest.Wait()
		b := bench{Installation: i, ctx: t.Context(), world: world, clocks: clocks}
		b.enable(t, ssh())
		test(t, b)
	})
}

func machine(name string) inventory.VM {
	return inventory.VM{
		ID: firewall.HostVM(name), Name: name,
		Paths: []inventory.Path{{Name: "in", Hops: []inventory.Hop{{Firewall: "fw"}}}},
	}
}

func door(port uint16) firewall.Door {
	return firewall.Door{VM: firewall.HostVM("web-1"), Protocol: firewall.TCP, Port: port}
}

func ssh() policy.Policy {
	return policy.Policy{
		Name: "ssh", VMs: []firewall.VMID{firewall.HostVM("web-1")},
		Ports: []policy.Port{{Port: 22, Max: time.Hour}},
	}.WithDefaults()
}

func (b bench) enable(t *testing.T, p policy.Policy) policy.Policy {
	t.Helper()
	saved, err := b.Broker().Enable(b.ctx, root(), p, broker.Agreed{})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return saved
}

func root() broker.Caller { return broker.Caller{Identity: access.Identity{Principal: simtest.Root()}} }

func alice() broker.Caller {
	return broker.Caller{Identity: access.Identity{Principal: simtest.User()}, Addr: laptop()}
}

func nobody() broker.Caller {
	return broker.Caller{Identity: access.Identity{Principal: access.Principal{Issuer: "local", Subject: "mallory"}}, Addr: laptop()}
}

func laptop() netip.Addr { return netip.MustParseAddr("203.0.113.7") }

// ask is a request that is allowed.
func ask() broker.Ask {
	return broker.Ask{VM: "web-1", Ports: []broker.Port{{Number: 22, Protocol: firewall.TCP}}, Duration: 10 * time.Minute, Reason: "test"}
}

// open asks for what is allowed and returns the one grant.
func (b bench) open(t *testing.T) broker.Standing {
	t.Helper()
	answer, err := b.Broker().Request(b.ctx, alice(), ask())
	if err != nil {
		t.Fatal(err)
	}
	if len(answer.Grants) != 1 || answer.Grants[0].State != access.Open || answer.Grants[0].Pending != "" {
		t.Fatalf("grants %+v, want one that is open", answer.Grants)
	}
	return answer.Grants[0]
}

// gets reports whether the laptop gets through to port 22.
func (b bench) gets() bool { return b.world.Admits(door(22), laptop()) }

// records returns the records of a kind, oldest first.
func (b bench) records(t *testing.T, kinds ...audit.Kind) []store.Entry {
	t.Helper()
	synctest.Wait()
	list, err := b.Store().Tail(b.ctx, store.ActivityFilter{Kinds: kinds}, -1)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// grants returns every grant of the book.
func (b bench) grants(t *testing.T) []access.Grant {
	t.Helper()
	list, _, err := b.Store().Grants(b.ctx, store.GrantFilter{})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// wants fails unless err has the kind and says the text to the user.
func wants(t *testing.T, err error, kind errkind.Kind, text string) {
	t.Helper()
	if err == nil || errkind.Of(err) != kind {
		t.Fatalf("error %v (%v), want %v", err, errkind.Of(err), kind)
	}
	if !strings.Contains(errkind.Public(err), text) {
		t.Errorf("the error says %q, want something with %q", errkind.Public(err), text)
	}
}

// says reports whether some line of list contains text.
func says(list []string, text string) bool {
	return slices.ContainsFunc(list, func(line string) bool { return strings.Contains(line, text) })
}
