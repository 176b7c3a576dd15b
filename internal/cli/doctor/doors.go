package doctor

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/client"
)

const (
	knockTime = time.Second
	mostDoors = 64 // that are knocked on
	atOnce    = 16
)

// A knock is one door that is tried, and what came of it.
type knock struct {
	vm    api.VM
	door  api.DoorState
	check Check
}

// doors knocks on every just-in-time TCP port that may be known here, and
// compares what happens with what the firewalls should do.
func doors(ctx context.Context, c *client.Client, who api.Whoami, tell func(Check)) {
	vms, err := c.VMs(ctx)
	if err != nil {
		tell(failed("VMs", err, ""))
		return
	}
	var knocks []*knock
	for _, vm := range vms {
		for _, why := range vm.Missing {
			tell(Check{vm.Name, Warn, "not everything about it is known, so nothing is opened: " + why, ""})
		}
		for _, d := range vm.Doors {
			if d.Locked && d.Unproven != "" { // a knock may tell more
				tell(Check{portName(vm, d), Warn, "locked, path unverified: " + d.Unproven, explainHint(vm, d)})
			}
			if wrong, is := stands(vm, d); is {
				tell(wrong)
				continue
			}
			if d.Protocol == "tcp" && len(vm.Addresses) > 0 && who.Address != "" && len(knocks) < mostDoors {
				knocks = append(knocks, &knock{vm: vm, door: d, check: Check{}})
			}
		}
	}
	if len(knocks) == 0 {
		tell(Check{"doors", Skip, "there is no port that could be tried from here", ""})
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, k := range knocks {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			k.try(ctx, c, who.Address)
		})
	}
	wg.Wait()
	for _, k := range knocks {
		tell(k.check)
	}
}

// stands says what the server knows to be wrong with a door, which a knock from
// here could only confirm.
func stands(vm api.VM, d api.DoorState) (Check, bool) {
	name, explain := portName(vm, d), explainHint(vm, d)
	switch {
	case d.Exposed != "":
		return Check{name, Fail, "EXPOSED: " + d.Exposed, explain}, true
	case d.Failing != "":
		return Check{name, Fail, "how it stands is not known: " + d.Failing, "the server's log says more"}, true
	case len(d.Obstacles) == 0:
		return Check{}, false
	case !d.Locked:
		return Check{name, Fail, "it is not locked by this server: " + d.Obstacles[0], explain}, true
	}
	return Check{name, Warn, "something foreign keeps people with a grant out: " + d.Obstacles[0], explain}, true
}

func portName(vm api.VM, d api.DoorState) string { return vm.Name + ":" + strconv.Itoa(int(d.Port)) }

func explainHint(vm api.VM, d api.DoorState) string {
	return "`sesame explain " + vm.Name + " " + strconv.Itoa(int(d.Port)) + "` names every rule"
}

// try knocks, and judges what came of it.
func (k *knock) try(ctx context.Context, c *client.Client, from string) {
	name := portName(k.vm, k.door)
	e, err := c.Explain(ctx, k.vm.ID, api.Port{Port: k.door.Port, Protocol: k.door.Protocol}, from)
	if err != nil {
		k.check = failed(name, err, "")
		return
	}
	should := "unknown"
	by := ""
	if e.Source != nil {
		should = e.Source.Verdict
		if len(e.Source.Spans) > 0 {
			by = " (" + e.Source.Spans[0].By + ")"
		}
	}
	ctx, cancel := context.WithTimeout(ctx, knockTime)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(k.vm.Addresses[0], strconv.Itoa(int(k.door.Port))))
	if err == nil {
		_ = conn.Close() // nothing was sent
	}
	is := map[bool]string{true: "open", false: "closed"}[err == nil]
	switch should {
	case is:
		k.check = Check{name, OK, "is " + is + " from here, as it should be" + by, ""}
	case "closed":
		k.check = Check{name, Fail, "is open from here and should be closed" + by, "does another path lead to it than the one Sesame knows?"}
	case "open":
		k.check = Check{name, Warn, fmt.Sprintf("the firewall lets you in%s, but nothing answers", by), "does a service listen there, and is another firewall in between?"}
	default:
		k.check = Check{name, Warn, "is " + is + " from here; what it should be is " + should + by, ""}
	}
}
