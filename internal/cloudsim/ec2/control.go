package ec2

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/action"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/gate"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/query"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// controlPath is where the simulator itself is spoken to. Nobody is asked who he
// is: it is for the loopback interface.
const controlPath = "/_simulator/"

// maxHand is how far in the future a hand can be put.
const maxHand = 24 * time.Hour

// control answers requests that are about the simulator:
//
//	POST   /_simulator/faults    {"kind": "lost", "action": "Authorize*", "times": 1, …}
//	DELETE /_simulator/faults    ends all faults
//	POST   /_simulator/hand      a call of the API as a form, done at once by the owner of ?account=
//	                             in ?region=, unsigned, without faults, delays and buckets
//	GET    /_simulator/connect   ?from=ADDRESS&instance=ID&port=22: could this client connect now?
//	GET    /_simulator/document  ?region=: what the groups mean, in canonical form
//	GET    /_simulator/calls     how often each action was called
func (s *Simulator) control(w http.ResponseWriter, r *http.Request) bool {
	what, ok := strings.CutPrefix(r.URL.Path, controlPath)
	if !ok {
		return false
	}
	text, err := s.controlled(r.Method+" "+what, w, r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return true
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, strings.TrimSuffix(text, "\n")) //nolint:gosec // plain text
	return true
}

func (s *Simulator) controlled(what string, w http.ResponseWriter, r *http.Request) (string, error) {
	q := r.URL.Query()
	region := q.Get("region")
	if region == "" {
		region = s.cfg.Regions[0]
	}
	if s.regions[region] == nil {
		return "", fmt.Errorf("there is no region %q", region)
	}
	switch what {
	case "POST faults":
		f, err := readFault(http.MaxBytesReader(w, r.Body, maxBody))
		if err == nil {
			s.Fail(f)
		}
		return "done", err
	case "DELETE faults":
		s.Mend()
		return "done", nil
	case "POST hand":
		if err := r.ParseForm(); err != nil {
			return "", fmt.Errorf("read the form: %w", err)
		}
		account := q.Get("account")
		if account == "" {
			account = s.cfg.Keys[0].Principal.Account
		}
		return "done", s.HandCall(region, account, r.PostForm)
	case "GET connect":
		from, err := netip.ParseAddr(q.Get("from"))
		if err != nil {
			return "", fmt.Errorf("read the client's address: %w", err)
		}
		port, err := strconv.Atoi(q.Get("port"))
		if err != nil {
			return "", fmt.Errorf("read the port: %w", err)
		}
		return s.Connect(from, q.Get("instance"), port).String(), nil
	case "GET document":
		return s.Document(region), nil
	case "GET calls":
		text, err := json.MarshalIndent(s.Calls(), "", "\t")
		return string(text), err
	}
	return "", fmt.Errorf("the simulator knows no %s", what)
}

// HandCall makes a call of the API as somebody else in the account would, now:
// without signature, permissions, faults, delays and token buckets.
func (s *Simulator) HandCall(region, account string, form url.Values) error {
	var refused error
	s.Hand(region, func(w *world.World, now time.Time) {
		c := &action.Call{
			Params: query.NewParams(form), Setting: &s.setting, Name: form.Get("Action"), World: w, Now: now, Seen: now,
			Who: gate.Principal{Account: account, May: []gate.Statement{{Actions: []string{"*"}}}},
		}
		a, found := s.ec2[c.Name]
		if !found {
			refused = fmt.Errorf("there is no action %q", c.Name)
			return
		}
		w.Past.Begin()
		if _, refused = a.Run(c); refused != nil {
			w.Past.Undo()
		}
		w.Past.Commit()
	})
	return refused
}

// readFault reads a fault that has no hand.
func readFault(from interface{ Read([]byte) (int, error) }) (Fault, error) {
	var in struct {
		Kind    FaultKind `json:"kind"`
		Action  string    `json:"action"`
		Region  string    `json:"region"`
		Account string    `json:"account"`
		Skip    int       `json:"skip"`
		Times   int       `json:"times"`
		For     string    `json:"for"`
		Chance  float64   `json:"chance"`
		Delay   string    `json:"delay"`
		Quiet   bool      `json:"quiet"`
	}
	d := json.NewDecoder(from)
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return Fault{}, fmt.Errorf("read the fault: %w", err)
	}
	f := Fault{
		Kind: in.Kind, Action: in.Action, Region: in.Region, Account: in.Account,
		Skip: in.Skip, Times: in.Times, Chance: in.Chance, Quiet: in.Quiet,
	}
	switch in.Kind {
	case Lost, Broken, Throttled, Partial, Ambiguous, Failed, Late, Lying, Stale, Slow:
	case Hand, HandAfter:
		return Fault{}, fmt.Errorf("a %s cannot be set from outside", in.Kind)
	default:
		return Fault{}, fmt.Errorf("there is no fault %q", in.Kind)
	}
	if in.For != "" {
		d, err := time.ParseDuration(in.For)
		if err != nil {
			return Fault{}, fmt.Errorf("read how long: %w", err)
		}
		f.Until = time.Now().Add(d)
	}
	if in.Delay != "" {
		d, err := time.ParseDuration(in.Delay)
		if err != nil || d < 0 || d > maxHand {
			return Fault{}, fmt.Errorf("read the delay: %q is not a duration up to %s", in.Delay, maxHand)
		}
		f.Delay = d
	}
	return f, nil
}
