package news_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
	"github.com/sesame-access/sesame/internal/reconcile/news"
)

func door(port uint16) firewall.Door {
	return firewall.Door{VM: "host://web-1", Protocol: firewall.TCP, Port: port}
}

func TestTellsWhatIsNewOnce(t *testing.T) {
	n := news.NewDesk()
	for i, step := range []struct {
		now        map[firewall.Door]string
		news, over []firewall.Door
	}{
		{now: map[firewall.Door]string{door(22): "a", door(80): "b"}, news: []firewall.Door{door(22), door(80)}},
		{now: map[firewall.Door]string{door(22): "a", door(80): "b"}},
		{now: map[firewall.Door]string{door(22): "a", door(80): "c"}, news: []firewall.Door{door(80)}},
		{now: map[firewall.Door]string{door(80): "c"}, over: []firewall.Door{door(22)}},
		{now: map[firewall.Door]string{door(22): "a", door(80): "c"}, news: []firewall.Door{door(22)}},
		{now: nil, over: []firewall.Door{door(22), door(80)}},
		{now: nil},
		{now: map[firewall.Door]string{door(80): "c"}, news: []firewall.Door{door(80)}},
	} {
		begun, over := n.Tell(audit.Exposed, step.now)
		if diff := cmp.Diff([][]firewall.Door{step.news, step.over}, [][]firewall.Door{begun, over}); diff != "" {
			t.Errorf("step %d: news, over (-want +got):\n%s", i, diff)
		}
	}
	if got := n.Said(audit.Exposed, door(80)); got != "c" {
		t.Errorf("said %q of port 80, want c", got)
	}
	if got := n.Said(audit.Obstructed, door(80)); got != "" {
		t.Errorf("another kind has %q", got)
	}
}

func TestAFloodOfRepairsIsAFewRecords(t *testing.T) {
	n := news.NewDesk()
	one := plan.Change{Op: plan.Lock, Door: door(22)}
	records, changes := 0, 0
	tell := func(repaired []plan.Change, at time.Duration) {
		told, _ := n.Repairs(repaired, at)
		if len(told) > 0 {
			records++
		}
		changes += len(told)
	}
	const apart = 100 * time.Millisecond
	for i := range 1000 {
		tell([]plan.Change{one}, time.Duration(i)*apart)
	}
	tell(nil, 1000*apart+news.Apart) // whatever is left is told by the next look
	if want := int(1000*apart/news.Apart) + 1; records != want {
		t.Errorf("%d records of 100 s of repairs, want %d", records, want)
	}
	if changes != 1000 {
		t.Errorf("%d changes were told, want all 1000", changes)
	}
}

func TestRepairedListsTheFirst(t *testing.T) {
	one := plan.Change{Op: plan.Lock, Door: door(22)}
	list, text := news.Repaired([]plan.Change{one}, "event")
	if len(list) != 1 || text != "1 of our rules was not as we wrote it (noticed by: event)" {
		t.Errorf("one repair: %d listed, %q", len(list), text)
	}
	if _, text = news.Repaired([]plan.Change{one}, ""); !strings.HasSuffix(text, "(noticed by: looking)") {
		t.Errorf("what nobody woke it for: %q", text)
	}
	list, text = news.Repaired(make([]plan.Change, 250), "resync")
	if len(list) != 100 || text != "250 of our rules were not as we wrote them (noticed by: resync)" {
		t.Errorf("250 repairs: %d listed, %q", len(list), text)
	}
}
