package reconcile_test

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing/synctest"
	"time"

	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/memory"
	"github.com/sesame-access/sesame/internal/store"
)

// each calls f with the firewall called on, or with all.
func (s *stage) each(on string, f func(*memory.Firewall) error) error {
	var err error
	for _, id := range s.walls {
		if on == "" || string(id) == on {
			err = errors.Join(err, f(s.world.Firewall(id)))
		}
	}
	return err
}

// fault KIND [on=FIREWALL] [times=N] [delay=D] [door=VM:PORT] [quiet], fault none
func (s *stage) fault(_ string, a args) error {
	kinds := map[string]memory.FaultKind{
		"lost": memory.Lost, "partial": memory.Partial, "ambiguous": memory.Ambiguous, "late": memory.Late,
		"lying": memory.Lying, "refuse": memory.Refuse, "stale": memory.Stale, "down": memory.Down,
	}
	f := memory.Fault{Kind: kinds[a.at(0)], Quiet: a.has("quiet")}
	f.Times, _ = strconv.Atoi(a.named["times"])
	var err error
	if f.Delay, err = a.duration("delay"); err != nil {
		return err
	}
	if text := a.named["door"]; text != "" {
		if f.Door, err = door(text); err != nil {
			return err
		}
	}
	return s.each(a.named["on"], func(w *memory.Firewall) error {
		switch {
		case a.at(0) == "none":
			w.Mend()
		case f.Kind == 0:
			return errors.New("there is no such fault")
		default:
			w.Fail(f)
		}
		return nil
	})
}

// tamper put NAME allow|deny SOURCE|any PORT|all [on=FIREWALL] [vm=VM] [priority=N]
// tamper remove lock|open|NAME [on=FIREWALL]
// tamper widen|move|copy|until: what somebody does to our openings
func (s *stage) tamper(_ string, a args) error {
	defer synctest.Wait()
	return s.each(a.named["on"], func(w *memory.Firewall) error {
		if a.at(0) == "put" {
			r, err := s.rule(a)
			if err != nil {
				return err
			}
			return w.Put(r)
		}
		done := false
		for _, r := range w.State().Rules {
			owned := w.State().Ours(r)
			lock, opening := owned && r.Action == firewall.Deny, owned && r.Action == firewall.Allow
			switch {
			case a.at(0) == "remove" && (r.Name == a.at(1) || a.at(1) == "lock" && lock || a.at(1) == "open" && opening):
				done = w.Remove(r.Name) || done
			case a.at(0) == "widen" && opening:
				done = w.Edit(r.Name, func(r *memory.Rule) { r.From = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")} }) || done
			case a.at(0) == "move" && opening:
				done = w.Edit(r.Name, func(r *memory.Rule) { r.Priority += 7 }) || done
			case a.at(0) == "copy" && opening:
				copied := r
				copied.Name += "-copy"
				if copied.Priority != 0 {
					copied.Priority++
				}
				copied.From = []netip.Prefix{netip.MustParsePrefix("198.51.100.9/32")}
				done = w.Put(copied) == nil || done
			case a.at(0) == "until" && opening:
				done = w.Edit(r.Name, func(r *memory.Rule) { r.Note, r.Closes = "", time.Time{} }) || done
			}
		}
		if !done {
			return errors.New("nothing was changed")
		}
		return nil
	})
}

func (s *stage) rule(a args) (memory.Rule, error) {
	r := memory.Rule{Name: a.at(1), First: 0, Last: 65535, Action: firewall.Deny}
	var err error
	if a.at(4) != "all" {
		port, err := strconv.ParseUint(a.at(4), 10, 16)
		if err != nil {
			return r, err
		}
		r.First, r.Last = uint16(port), uint16(port)
	}
	if a.at(2) == "allow" {
		r.Action = firewall.Allow
	}
	if a.at(3) == "any" {
		if s.dialect == memory.Union {
			r.From = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
		}
	} else if r.From, err = sources(a.at(3)); err != nil {
		return r, err
	}
	if vm := a.named["vm"]; vm != "" {
		r.VM = firewall.HostVM(vm)
	}
	if s.dialect == memory.Numbered {
		r.Priority, err = strconv.Atoi(cmp.Or(a.named["priority"], "200"))
	}
	return r, err
}

// flush [ours] [on=FIREWALL]
func (s *stage) flush(_ string, a args) error {
	defer synctest.Wait()
	return s.each(a.named["on"], func(w *memory.Firewall) error {
		if a.has("ours") {
			w.FlushOwned()
		} else {
			w.Flush()
		}
		return nil
	})
}

// obstruct VM:PORT blocks|admits TEXT…, obstruct none
func (s *stage) obstruct(_ string, a args) error {
	defer synctest.Wait()
	var obstacles []provider.Obstacle
	if a.at(0) != "none" {
		d, err := door(a.at(0))
		if err != nil {
			return err
		}
		obstacles = []provider.Obstacle{{Door: d, Blocks: a.at(1) == "blocks", Text: strings.Join(a.plain[2:], " ")}}
	}
	return s.each(a.named["on"], func(w *memory.Firewall) error {
		w.Obstruct(obstacles...)
		return nil
	})
}

// beside NAME SOURCE PORT [unknown]: what somebody else has at the same place drops
// packets, or nobody knows whether it does; beside none.
func (s *stage) beside(_ string, a args) error {
	defer synctest.Wait()
	var l firewall.Layer
	if a.at(0) != "none" {
		port, err := firewall.ParsePort(a.at(2))
		if err != nil {
			return err
		}
		from, err := sources(strings.TrimPrefix(a.at(1), "any"))
		if err != nil {
			return err
		}
		drop := firewall.LayerRule{Name: a.at(0), Action: firewall.Deny, First: port, Last: port, From: from}
		if a.has("unknown") {
			drop.Action = firewall.Unknown
		}
		l = firewall.Layer{Firewall: "somebody else's", Rules: []firewall.LayerRule{drop}, Default: firewall.Allow}
	}
	return s.each(a.named["on"], func(w *memory.Firewall) error {
		w.Stand(l)
		return nil
	})
}

// in VM:PORT ADDRESS…: packets from there get through.
func (s *stage) in(_ string, a args) error { return s.packets(a, true) }

// out VM:PORT ADDRESS…: packets from there do not.
func (s *stage) out(_ string, a args) error { return s.packets(a, false) }

func (s *stage) packets(a args, want bool) error {
	d, err := door(a.at(0))
	if err != nil || len(a.plain) < 2 {
		return fmt.Errorf("a door and addresses: %w", err)
	}
	for _, text := range a.plain[1:] {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return err
		}
		if s.world.Admits(d, addr) != want {
			return fmt.Errorf("%s at %s: admitted is %v\n%s", addr, s.clocks.Now().Format(time.TimeOnly), !want, s.world)
		}
	}
	return nil
}

// empty: a fresh plan has nothing to do.
func (s *stage) empty(site string, _ args) error {
	i, err := s.site(site)
	if err != nil {
		return err
	}
	p, err := i.Fleet().Preview(s.ctx, nil, nil)
	for _, x := range p.Plans {
		if !x.Empty() {
			err = errors.Join(err, fmt.Errorf("%s:\n%s", x.Firewall, x))
		}
	}
	return err
}

// verify: the audit log is whole and makes sense.
func (s *stage) verify(site string, _ args) error {
	i, err := s.site(site)
	if err != nil {
		return err
	}
	_, _, err = i.Bundle(s.ctx)
	return err
}

// error TEXT…: the last verb that had to fail said so.
func (s *stage) message(_ string, a args) error {
	if text := strings.Join(a.plain, " "); s.last == nil || !strings.Contains(s.last.Error(), text) {
		return fmt.Errorf("the error was: %w", s.last)
	}
	return nil
}

// firewall FILE [on=FIREWALL]
func (s *stage) firewall(_ string, a args) error {
	text := ""
	_ = s.each(a.named["on"], func(w *memory.Firewall) error { text += w.String(); return nil })
	return printed(text)
}

// grants FILE
func (s *stage) grants(site string, _ args) error {
	i, err := s.site(site)
	if err != nil {
		return err
	}
	list, _, err := i.Store().Grants(s.ctx, store.GrantFilter{})
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, g := range slices.Backward(list) {
		fmt.Fprintf(&b, "%s %s %s", g.ID, doorName(g.Door), g.StateAt(s.clocks.Read()))
		for _, x := range []struct {
			name string
			at   time.Time
		}{{"opened", g.Opened}, {"closed", g.Closed}} {
			if !x.at.IsZero() {
				fmt.Fprintf(&b, ", %s %s", x.name, x.at.Sub(g.Start))
			}
		}
		if g.Impeded != "" {
			fmt.Fprintf(&b, ", impeded: %s", g.Impeded)
		}
		b.WriteString("\n")
	}
	return printed(b.String())
}

// activity FILE [PATTERN…]: the records of these kinds, or all.
func (s *stage) activity(site string, a args) error {
	i, err := s.site(site)
	if err != nil {
		return err
	}
	list, err := i.Store().Tail(s.ctx, store.ActivityFilter{Page: store.Page{Limit: store.MaxLimit}}, 0)
	if err != nil {
		return err
	}
	var b strings.Builder
	several := len(dialects(s.ar)) > 1
	for _, e := range list {
		wanted := func(pattern string) bool { ok, _ := path.Match(pattern, string(e.Kind)); return ok }
		if len(a.plain) > 1 && !slices.ContainsFunc(a.plain[1:], wanted) {
			continue
		}
		fmt.Fprintf(&b, "%-16s", e.Kind)
		if e.Grant != "" {
			b.WriteString(" " + e.Grant)
		}
		if e.Door != (firewall.Door{}) {
			b.WriteString(" " + doorName(e.Door))
		}
		for n, m := range e.Measures {
			if several && m.Name == audit.EndToSeenClosed {
				// Only some dialects close by themselves; a script for all of them
				// does not tell them apart.
				e.Measures[n].Name, e.Text = audit.EndToClosed, ""
			}
			fmt.Fprintf(&b, ", %s %s", e.Measures[n].Name, m.Took)
		}
		by := ""
		if e.Kind == audit.Repaired && len(e.By) > 0 {
			by = "changed by " + strings.Join(e.By, ", ")
		}
		for _, why := range slices.Concat([]string{e.Text, by}, e.Not) {
			if first, _, _ := strings.Cut(why, "\n"); first != "" {
				b.WriteString(": " + first)
			}
		}
		b.WriteString("\n")
	}
	return printed(b.String())
}

// doors FILE VM: what was last read back about the doors of the VM.
func (s *stage) doors(site string, a args) error {
	i, err := s.site(site)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, d := range i.Fleet().Doors(firewall.HostVM(a.at(1))) {
		fmt.Fprintf(&b, "%s locked=%v", doorName(d.Door), d.Locked)
		if d.Exposed != "" {
			b.WriteString(", exposed: " + d.Exposed)
		}
		if d.Unproven != "" {
			b.WriteString(", unproven: " + d.Unproven)
		}
		for _, o := range d.Obstacles {
			b.WriteString(", obstacle: " + o)
		}
		if d.Failing != "" {
			b.WriteString(", failing: " + d.Failing)
		}
		b.WriteString("\n")
	}
	return printed(b.String())
}

// reach FILE VM:PORT: who gets in, as the reach engine says, and by which rule.
func (s *stage) reach(site string, a args) error {
	i, err := s.site(site)
	if err != nil {
		return err
	}
	d, err := door(a.at(1))
	if err != nil {
		return err
	}
	set, err := i.Fleet().Explain(s.ctx, d)
	if err != nil {
		return err
	}
	var b strings.Builder
	for x := range set.All() {
		fmt.Fprintln(&b, x.Range, x.Verdict, x.By())
	}
	return printed(b.String())
}

func doorName(d firewall.Door) string {
	return fmt.Sprintf("%s:%d/%s", d.VM.Name(), d.Port, d.Protocol)
}
