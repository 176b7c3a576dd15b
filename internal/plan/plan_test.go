package plan_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
)

func TestPlanPrints(t *testing.T) {
	p := plan.Plan{
		Firewall: "host",
		Changes: []plan.Change{
			{Step: 0, Op: plan.Close, Door: web, Opening: opening("203.0.113.7", time.Hour, "g-1"), Why: "grant g-1 has ended"},
			{Step: 1, Op: plan.Lock, Door: web, Why: "policy prod-ssh"},
			{Step: 1, Op: plan.Open, Door: web, Opening: opening("10.0.0.0/8", 0, ""), Why: "exempt"},
		},
		Refused: []plan.Refusal{
			{Door: web, From: sources("198.51.100.7")[0], Why: "there is no room for another rule"},
			{Door: db, From: netip.Prefix{}, Why: "the lock cannot be shown"},
		},
	}
	want := `close    host://web:22/tcp from 203.0.113.7 until 2030-01-31T13:00:00.000Z  # grant g-1 has ended
lock     host://web:22/tcp  # policy prod-ssh
open     host://web:22/tcp from 10.0.0.0/8  # exempt
refused  host://web:22/tcp from 198.51.100.7  # there is no room for another rule
refused  host://db:22/tcp  # the lock cannot be shown
`
	if got := p.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if p.Empty() || !p.Has(plan.Drop, plan.Lock) || p.Has(plan.Restore, plan.Drop) || !(plan.Plan{}).Empty() {
		t.Error("Empty or Has is wrong")
	}
}

func TestOps(t *testing.T) {
	for o := plan.Close; o <= plan.Drop; o++ {
		if got, ok := plan.ParseOp(o.String()); !ok || got != o {
			t.Errorf("ParseOp(%q) = %v, %v", o, got, ok)
		}
	}
	if _, ok := plan.ParseOp("op?"); ok || plan.Op(99).String() != "op?" {
		t.Error("an operation that is none has a name")
	}
	if plan.Close != 0 {
		t.Error("closing comes first")
	}
}

func TestChangesHaveOneOrder(t *testing.T) {
	var all []plan.Change
	for step := range 2 {
		for op := plan.Close; op <= plan.Drop; op++ {
			for _, d := range []firewall.Door{db, web} {
				for _, o := range []firewall.Opening{{}, opening("10.0.0.0/8", 0, ""), opening("10.0.0.0/8", time.Hour, "g")} {
					for _, native := range []string{"a", "b"} {
						all = append(all, plan.Change{Step: step, Op: op, Door: d, Opening: o, Native: native})
					}
				}
			}
		}
	}
	shuffled := slices.Clone(all)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	slices.SortFunc(shuffled, plan.Compare)
	if !slices.Equal(all, shuffled) {
		t.Error("changes are out of order")
	}
}
