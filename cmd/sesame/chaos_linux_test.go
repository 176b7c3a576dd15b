package main

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/client"
)

// What a caller may set: how long there is chaos, and which.
const (
	chaosTime = "SESAME_CHAOS_TIME"
	chaosSeed = "SESAME_CHAOS_SEED"
)

// repair is how long the server has to put right what was done to its rules, on
// a busy machine.
const repair = 5 * time.Second

// TestChaos kills, restarts, floods and tampers with a real server over a real
// kernel in random order, and looks after every step: nobody gets in without a
// grant, whoever has one gets in, and what others wrote is as they wrote it.
func TestChaos(t *testing.T) {
	lasts, err := time.ParseDuration(cmp.Or(os.Getenv(chaosTime), "10s"))
	if err != nil {
		t.Fatal(err)
	}
	seed, err := strconv.ParseUint(cmp.Or(os.Getenv(chaosSeed), strconv.FormatUint(rand.Uint64(), 10)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("seed %d; the machine's pace has a part in it, too", seed)
	c := newChaos(t, rand.New(rand.NewPCG(seed, 0)))
	steps := map[string]func(){
		"ask": c.ask, "close": c.close, "kill": c.kill, "restart": c.restart,
		"kill while asking": c.killWhileAsking, "flush": c.flush, "tamper": c.tamper, "rest": c.rest,
	}
	names := []string{"ask", "ask", "ask", "close", "kill", "restart", "kill while asking", "flush", "tamper", "rest"}
	taken := map[string]int{}
	c.ask()
	for end := time.Now().Add(lasts); time.Now().Before(end) && !t.Failed(); {
		name := names[c.IntN(len(names))]
		taken[name]++
		steps[name]()
		c.check(name)
	}
	t.Logf("steps: %v", taken)
	if !t.Failed() {
		c.settle()
	}
}

// A chaos is a server, and what must be true of it.
type chaos struct {
	*server
	*rand.Rand
	clients map[string]*client.Client
	grants  []chaosGrant
	theirs  string // what others wrote, as the kernel lists it
}

// A chaosGrant is one that was asked for. Nobody knows whether an ask that was
// not answered was granted: then it may let somebody in, and need not.
type chaosGrant struct {
	who, id string
	until   time.Time // no later than then it lets them in
	sure    bool      // it was answered as open, and nobody asked to close it
}

const chaosVM = "chaos"

// foreign is what somebody else has written into the VM.
const foreign = `table inet theirs {
	set friends { type ipv4_addr; elements = { 192.0.2.1, 192.0.2.2 }; }
	chain input { type filter hook input priority 10; policy accept; ip saddr @friends tcp dport 4444 drop comment "not ours"; }
}`

func newChaos(t *testing.T, r *rand.Rand) *chaos {
	c := &chaos{server: newBench(t, chaosVM).serve(t, "chaos", 9543, chaosVM), Rand: r, clients: map[string]*client.Client{}}
	ca, err := os.ReadFile(filepath.Join(c.cfg.StateDir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{"alice", "bob"} {
		cl, err := client.New(client.Config{URL: "https://" + c.cfg.Listen[0].String(), CA: ca, Token: c.tokens[who], Timeout: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.CloseIdle)
		c.clients[who] = cl
	}
	c.inVM(foreign)
	c.theirs = c.list()
	return c
}

// inVM has nft read a script inside the VM.
func (c *chaos) inVM(script string) {
	c.t.Helper()
	cmd := c.lab.VM(chaosVM).Command(c.t.Context(), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		c.t.Fatalf("nft: %v: %s", err, out)
	}
}

func (c *chaos) list() string {
	c.t.Helper()
	out, err := c.lab.VM(chaosVM).Command(c.t.Context(), "nft", "list", "table", "inet", "theirs").CombinedOutput()
	if err != nil {
		c.t.Fatalf("nft: %v: %s", err, out)
	}
	return string(out)
}

// someone draws one of the people who may ask.
func (c *chaos) someone() string { return []string{"alice", "bob"}[c.IntN(2)] }

func (c *chaos) ask() { c.request(c.t.Context(), c.someone()) }

// request asks for the shortest grant there is, and notes what came of it.
func (c *chaos) request(ctx context.Context, who string) {
	from := c.lab.Client(who).Addr4()
	a := api.Ask{
		VM: chaosVM, Ports: []api.Port{{Port: cheapPort, Protocol: "tcp"}}, Duration: "1m",
		Sources: []string{netip.PrefixFrom(from, from.BitLen()).String()},
	}
	answer, err := c.clients[who].Request(ctx, a, "")
	if err != nil {
		c.grants = append(c.grants, chaosGrant{who: who, id: "", until: time.Now().Add(time.Minute), sure: false})
		return
	}
	for _, g := range answer.Grants {
		c.grants = append(c.grants, chaosGrant{who: who, id: g.ID, until: g.Deadline.Time, sure: g.State == "open"})
	}
}

// close ends one of the grants that were answered.
func (c *chaos) close() {
	if len(c.grants) == 0 {
		return
	}
	g := &c.grants[c.IntN(len(c.grants))]
	if g.id == "" {
		return
	}
	g.sure = false
	if out, err := c.clients[g.who].Close(c.t.Context(), g.id); err == nil && out.State == "closed" {
		g.until = time.Now()
	}
}

func (c *chaos) kill() {
	c.end(syscall.SIGKILL)
	c.idle(2 * time.Second)
	c.start()
}

func (c *chaos) restart() {
	c.end(syscall.SIGTERM)
	c.start()
}

// killWhileAsking kills the server within a few milliseconds of an ask.
func (c *chaos) killWhileAsking() {
	ctx, cancel := context.WithTimeout(c.t.Context(), 3*time.Second)
	defer cancel()
	asked := make(chan struct{})
	go func() { defer close(asked); c.request(ctx, "bob") }()
	c.idle(4 * time.Millisecond)
	c.end(syscall.SIGKILL)
	<-asked
	c.start()
}

// flush deletes all rules there are, and others write theirs again.
func (c *chaos) flush() { c.inVM("flush ruleset\n" + foreign) }

// tamper deletes what lets people in. The kernel allows that only while no server
// lives.
func (c *chaos) tamper() {
	c.end(syscall.SIGKILL)
	c.inVM("flush set inet sesame host4")
	c.start()
}

func (c *chaos) rest() { c.idle(5 * time.Second) }

// idle waits for no longer than most.
func (c *chaos) idle(most time.Duration) { time.Sleep(c.N(most)) }

// N draws a duration below most.
func (c *chaos) N(most time.Duration) time.Duration { return time.Duration(c.Int64N(int64(most))) }

// check fails unless everything is as it must be, or becomes so in the time that
// a repair may take.
func (c *chaos) check(after string) {
	c.t.Helper()
	to := netip.AddrPortFrom(c.lab.VM(chaosVM).Addr4(), cheapPort)
	for begin := time.Now(); ; {
		wrong := ""
		for _, who := range []string{"alice", "bob", "stranger"} {
			at := time.Now()
			must, may := c.standing(who, at)
			if must == may && c.knock(c.t, who, to, 0, refusal) != must {
				// A deadline may have passed while somebody was knocking.
				if still, _ := c.standing(who, time.Now()); still == must {
					wrong = who + " gets in: " + strconv.FormatBool(!must)
				}
			}
		}
		if wrong == "" {
			break
		}
		if time.Since(begin) > repair {
			c.t.Errorf("%v after %s, %s", time.Since(begin), after, wrong)
			return
		}
	}
	if now := c.list(); now != c.theirs {
		c.t.Errorf("after %s what others wrote is\n%s\nand was\n%s", after, now, c.theirs)
	}
}

// standing returns whether somebody must get in at an instant, and may.
func (c *chaos) standing(who string, at time.Time) (must, may bool) {
	for _, g := range c.grants {
		if g.who != who {
			continue
		}
		must = must || g.sure && at.Before(g.until.Add(-early))
		may = may || at.Before(g.until.Add(late))
	}
	return must, may
}

// settle closes every grant, and fails unless each is read back closed, nobody
// gets in any more who was answered, and the log is whole.
func (c *chaos) settle() {
	c.t.Helper()
	for _, g := range c.grants {
		if g.id != "" {
			if _, err := c.admin.Close(c.t.Context(), g.id); err != nil {
				c.t.Error(err)
			}
		}
	}
	for i := range c.grants {
		if c.grants[i].id != "" {
			c.closed(c.grants[i].id)
			c.grants[i].until, c.grants[i].sure = time.Now(), false
		}
	}
	c.check("the end")
	if out := c.must(nil, "", "audit", "verify"); !strings.Contains(out, "records") {
		c.t.Errorf("the audit log: %s", out)
	}
}
