package broker_test

import (
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
	"github.com/sesame-access/sesame/internal/simtest"
)

// A door that was given back is in no policy any more, so that saving the policy
// again does not lock it again.
func TestDisabledDoorsLeaveTheirPolicy(t *testing.T) {
	web, db := firewall.HostVM("web-1"), firewall.HostVM("web-2")
	doors := func(vm firewall.VMID, ports ...uint16) []firewall.Door {
		var out []firewall.Door
		for _, p := range ports {
			out = append(out, firewall.Door{VM: vm, Protocol: firewall.TCP, Port: p})
		}
		return out
	}
	for name, c := range map[string]struct {
		vms     []firewall.VMID
		ports   []uint16
		disable []firewall.Door
		left    []firewall.Door // of the policy
		refused string
	}{
		"a VM of two":            {[]firewall.VMID{web, db}, []uint16{22}, doors(web, 22), doors(db, 22), ""},
		"a port of two":          {[]firewall.VMID{web}, []uint16{22, 3389}, doors(web, 3389), doors(web, 22), ""},
		"a VM with all ports":    {[]firewall.VMID{web, db}, []uint16{22, 3389}, doors(web, 22, 3389), doors(db, 22, 3389), ""},
		"everything":             {[]firewall.VMID{web}, []uint16{22, 3389}, doors(web, 22, 3389), nil, ""},
		"a corner of the square": {[]firewall.VMID{web, db}, []uint16{22, 3389}, doors(web, 22), nil, "sesame enable web-1 --name OTHER --port 3389/tcp"},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T, b bench) {
				p := ssh()
				p.VMs, p.Ports = c.vms, nil
				for _, n := range c.ports {
					p.Ports = append(p.Ports, policy.Port{Port: n})
				}
				b.enable(t, p.WithDefaults())
				_, err := b.Broker().PreviewDisable(b.ctx, root(), c.disable)
				if c.refused != "" {
					wants(t, err, errkind.Conflict, c.refused)
					wants(t, b.Broker().Disable(b.ctx, root(), c.disable, broker.Agreed{}), errkind.Conflict, c.refused)
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if err := b.Broker().Disable(b.ctx, root(), c.disable, broker.Agreed{}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				rules, err := b.Store().Rules(b.ctx)
				if err != nil || len(rules.Policies) != min(len(c.left), 1) || len(rules.Locks) != len(c.left) {
					t.Fatalf("policies %+v, %d locks, %v", rules.Policies, len(rules.Locks), err)
				}
				if len(c.left) == 0 {
					return
				}
				if got := rules.Policies[0]; !slices.Equal(got.Doors(), c.left) || got.Version != 3 {
					t.Errorf("version %d covers %v, want %v", got.Version, got.Doors(), c.left)
				}
				if n := len(b.records(t, audit.PolicySaved)); n != 3 {
					t.Errorf("%d policies recorded, want 3", n)
				}
				b.enable(t, rules.Policies[0])
				if again, err := b.Store().Rules(b.ctx); err != nil || len(again.Locks) != len(c.left) {
					t.Errorf("saving the policy again locked what was given back: %+v, %v", again.Locks, err)
				}
			})
		})
	}
}

// The lock of a book that was lost is given back like any other: by somebody who may
// disable its VM, who is shown first who gets in by it; and by nobody else.
func TestDisableGivesBackALockOfALostBook(t *testing.T) {
	in(t, func(t *testing.T, b bench) {
		b.letIn(t)
		web := []firewall.Door{door(22)}
		empty := filepath.Join(t.TempDir(), "empty.db")
		if err := simtest.Template(b.ctx, empty); err != nil {
			t.Fatal(err)
		}
		b.Stop()
		if err := b.Restore(b.ctx, empty); err != nil {
			t.Fatal(err)
		}
		b.Start(b.ctx)
		synctest.Wait()
		wants(t, b.Broker().Disable(b.ctx, alice(), web, broker.Agreed{}), errkind.Denied, "may not disable")
		wants(t, b.Broker().Disable(b.ctx, root(), []firewall.Door{door(23)}, broker.Agreed{}), errkind.NotFound, "not locked")
		_, err := b.Broker().PreviewDisable(b.ctx, root(), []firewall.Door{door(23)})
		wants(t, err, errkind.NotFound, "not locked")
		preview, err := b.Broker().PreviewDisable(b.ctx, root(), web)
		if err != nil || !slices.Equal(preview.Given, web) || len(preview.Refused) > 0 {
			t.Fatalf("%+v, %v", preview, err)
		}
		if len(preview.Doors) != 1 || !preview.Doors[0].Before.MaybeOpen().Empty() || !preview.Doors[0].After.MaybeOpen().Contains(laptop()) {
			t.Errorf("the preview shows %+v; want that everybody gets in", preview.Doors)
		}
		if b.gets() {
			t.Error("to look at it gives it back")
		}
		if err := b.Broker().Disable(b.ctx, root(), web, broker.Agreed{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !b.gets() {
			t.Error("it is still locked")
		}
		rules, err := b.Store().Rules(b.ctx)
		if err != nil || len(rules.Locks) != 0 || !slices.Equal(rules.Unlocked, web) {
			t.Errorf("%+v, %v", rules, err)
		}
		if n := len(b.records(t, audit.Unlocked)); n != 1 {
			t.Errorf("%d records", n)
		}
		wants(t, b.Broker().Disable(b.ctx, root(), web, broker.Agreed{}), errkind.NotFound, "not locked")
	})
}
