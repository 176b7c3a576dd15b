package ec2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/action"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/gate"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/query"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// maxBody is more than any call that makes sense.
const maxBody = 1 << 20

// A call is one request, and what its signature is for.
type call struct {
	action.Call

	scope gate.Scope
}

// errCut says that the connection breaks instead of an answer.
var errCut = errors.New("simulated fault: the connection is cut")

// ServeHTTP answers one call.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.control(w, r) {
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "the body cannot be read", http.StatusBadRequest)
		return
	}
	namespace, request, reply, err := s.serve(r, body)
	if errors.Is(err, errCut) || r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // the one way to end without an answer
	}
	status := http.StatusOK
	if err != nil {
		status, reply = query.EncodeError(err, namespace, request)
	}
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.Header().Set("X-Amzn-Requestid", request)
	w.Header().Set("Date", s.clock().UTC().Format(http.TimeFormat))
	w.WriteHeader(status)
	_, _ = w.Write(reply) //nolint:gosec // XML that is encoded; and who has gone does not listen
}

// serve finds out who calls what, and does it.
func (s *Simulator) serve(r *http.Request, body []byte) (namespace, request string, reply []byte, err error) {
	namespace, request = query.EC2, s.requestID()
	scope, err := gate.ReadScope(r)
	if err != nil {
		return namespace, request, nil, err
	}
	if scope.Service == "sts" {
		namespace = query.STS
	}
	form, err := read(r, body)
	if err != nil {
		return namespace, request, nil, err
	}
	c := &call{scope: scope, Call: action.Call{Params: query.NewParams(form), Setting: &s.setting, Name: form.Get("Action")}}
	if c.Who, err = s.admit(r, body, scope); err != nil {
		return namespace, request, nil, err
	}
	a, err := s.find(c)
	if err != nil {
		return namespace, request, nil, err
	}
	answer, err := s.perform(r.Context(), c, a)
	if err != nil {
		return namespace, request, nil, err
	}
	reply, err = answer.Encode(c.Name, namespace, request)
	return namespace, request, reply, err
}

func (s *Simulator) requestID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.served++
	const form = "00000000-0000-4000-8000-%012x"
	return fmt.Sprintf(form, s.served)
}

// read returns the form of a call.
func read(r *http.Request, body []byte) (url.Values, error) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method != http.MethodPost || r.URL.Path != "/" || kind != "application/x-www-form-urlencoded" {
		return nil, world.Refuse("InvalidRequest", "A call is a POST of a form to /")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, world.Refuse("MalformedQueryString", "The query string contains a syntax error.")
	}
	return form, nil
}

// The versions of the two services.
const (
	ec2Version = "2016-11-15"
	stsVersion = "2011-06-15"
)

// find returns what the call wants to do.
func (s *Simulator) find(c *call) (action.Action, error) {
	known, version := s.ec2, ec2Version
	if c.scope.Service == "sts" {
		known, version = s.sts, stsVersion
	}
	a, found := known[c.Name]
	if got := c.Text("Version"); !found || got != version {
		return action.Action{}, world.Refuse("InvalidAction", "The action %s is not valid for version %s.", c.Name, got)
	}
	return a, nil
}

// admit verifies whose call it is.
func (s *Simulator) admit(r *http.Request, body []byte, scope gate.Scope) (gate.Principal, error) {
	now := s.clock()
	s.mu.Lock()
	key, err := s.setting.Identities.Key(scope.AccessKey, r.Header.Get("X-Amz-Security-Token"), now)
	s.mu.Unlock()
	if err == nil {
		err = gate.Verify(r, body, scope, key.Secret, now)
	}
	if err != nil && scope.Service == "ec2" {
		err = asEC2(err)
	}
	return key.Principal, err
}

// asEC2 says in EC2's words why a caller is not known.
func asEC2(err error) error {
	var refused *world.Error
	if !errors.As(err, &refused) {
		return err
	}
	switch refused.Code {
	case "ExpiredToken":
		return world.Refuse("RequestExpired", "Request has expired.")
	case "InvalidClientTokenId", "SignatureDoesNotMatch":
		return world.Refuse("AuthFailure", "AWS was not able to validate the provided access credentials")
	}
	return err
}

// perform does what a call wants, with the faults that it meets.
func (s *Simulator) perform(ctx context.Context, c *call, a action.Action) (query.Reply, error) {
	s.mu.Lock()
	c.Now = time.Now()
	done := s.settle(c.Now)
	s.calls[c.Name]++
	passing, fault := s.meet(c, a.Writes)
	s.mu.Unlock()
	s.tell(done)
	switch fault.Kind { //nolint:exhaustive // the others do something first
	case Lost:
		return nil, errCut
	case Broken:
		return nil, errInternal()
	case Throttled:
		return nil, errThrottled()
	}
	if err := s.throttle(c); err != nil {
		return nil, err
	}
	wait := time.Duration(0)
	if a.Writes {
		wait = s.cfg.WriteTime
	}
	for _, f := range passing {
		if f.Kind == Slow {
			wait += f.Delay
		}
	}
	if err := pause(ctx, wait); err != nil {
		return nil, err
	}
	reply, done, err := s.execute(c, a, passing, fault)
	s.tell(done)
	return reply, err
}

// execute runs the action under the lock, between the hands before and after it.
func (s *Simulator) execute(c *call, a action.Action, passing []Fault, fault standing) (reply query.Reply, done []Write, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.Now = time.Now()
	done = s.settle(c.Now)
	if c.World = s.regions[c.scope.Region]; c.World == nil {
		if c.scope.Service == "ec2" {
			return nil, done, world.Refuse("AuthFailure", "AWS was not able to validate the provided access credentials")
		}
		c.World = s.regions[s.cfg.Regions[0]]
	}
	c.Seen = c.Now
	if lag := s.cfg.ReadLag; lag > 0 {
		c.Seen = c.Now.Add(-time.Duration(s.chance.Int64N(int64(lag))))
	}
	if fault.Kind == Stale && fault.since.Before(c.Seen) {
		c.Seen = fault.since
	}
	hands := func(kind FaultKind) {
		for _, f := range passing {
			if f.Kind == kind && f.Do != nil {
				f.Do(c.World, c.Now)
				done = append(done, Write{Region: c.World.Region, Action: "Hand", Account: ""})
			}
		}
	}
	hands(Hand)
	reply, wrote, err := s.run(c, a, fault)
	if wrote {
		done = append(done, Write{Region: c.World.Region, Action: c.Name, Account: c.Who.Account})
	}
	hands(HandAfter)
	return reply, done, err
}

// run does the action, as far as the fault lets it.
func (s *Simulator) run(c *call, a action.Action, fault standing) (reply query.Reply, wrote bool, err error) {
	past := c.World.Past
	before := past.Writes()
	past.Begin()
	c.Half = fault.Kind == Partial
	reply, err = a.Run(&c.Call)
	switch {
	case err != nil:
		past.Undo()
		return nil, false, err
	case !c.Asked:
		past.Undo()
		return nil, false, fmt.Errorf("%s did not ask for permission", c.Name)
	}
	wrote = a.Writes && past.Writes() != before
	switch fault.Kind { //nolint:exhaustive // the others do not get this far, or change nothing
	case Lying:
		past.Undo()
		return reply, false, nil
	case Late:
		past.Undo()
		again := c.Call
		again.Params = c.Again()
		s.late = append(s.late, lateWrite{
			at: c.Now.Add(fault.Delay), write: Write{Region: c.World.Region, Action: c.Name, Account: c.Who.Account},
			do: func(now time.Time) bool {
				again.Now, again.Seen = now, now
				past.Begin()
				_, err := a.Run(&again)
				if err != nil {
					past.Undo() // and nobody is there any more to be told
				}
				past.Commit()
				return err == nil
			},
		})
		if fault.Quiet {
			return reply, false, nil
		}
		return nil, false, errInternal()
	}
	past.Commit()
	switch fault.Kind { //nolint:exhaustive // see above
	case Ambiguous:
		return nil, wrote, errCut
	case Failed, Partial:
		return nil, wrote, errInternal()
	}
	return reply, wrote, nil
}

// throttle takes a token from the bucket of the caller's account.
func (s *Simulator) throttle(c *call) error {
	if s.cfg.Unthrottled || c.scope.Service != "ec2" {
		return nil
	}
	unbounded := !c.Has("MaxResults") && !c.Has("NextToken") && len(c.Each("Filter")) == 0
	name := c.Who.Account + " " + c.scope.Region + " " + c.Name
	rate := gate.RateOf(c.Name, unbounded)
	if unbounded && rate != gate.RateOf(c.Name, false) {
		name += " unbounded"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.buckets.Take(c.Now, name, rate) {
		return errThrottled()
	}
	return nil
}

func errThrottled() error { return world.Refuse("RequestLimitExceeded", "Request limit exceeded.") }

func errInternal() error { return world.Refuse("InternalError", "An internal error has occurred") }

// pause waits, unless the caller goes.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
