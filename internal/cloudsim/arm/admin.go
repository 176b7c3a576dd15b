package arm

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/arm/fault"
	"github.com/sesame-access/sesame/internal/cloudsim/arm/world"
)

// AdminPath is where the handler of [Simulator.Admin] expects to be.
const AdminPath = "/_simulator/"

// Admin returns a handler by which a program, or a person with curl, does what
// tests do in Go. It wants the bearer token of the first identity.
//
//	GET    /_simulator/counts      calls answered, by method and type
//	POST   /_simulator/faults      a [fault.Fault] as JSON, with durations such as "90s"
//	DELETE /_simulator/faults      heal
//	POST   /_simulator/edits       a [fault.Edit] as JSON, whose body is an object
//	GET    /_simulator/document    ?id=  what is stored
//	GET    /_simulator/connect     ?client=&vm=&port=  who gets in
func (s *Simulator) Admin() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, do func(r *http.Request) (any, error)) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" "+AdminPath+path, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer "+s.Token() {
				refusal(world.Refuse(http.StatusUnauthorized, "AuthenticationFailed", "The simulator's own token is needed.")).write(w)
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			v, err := do(r)
			if err != nil {
				refusal(world.Refuse(http.StatusBadRequest, "BadRequest", "%s", err)).write(w)
				return
			}
			respond(http.StatusOK, encode(v)).write(w)
		})
	}
	handle("GET counts", func(*http.Request) (any, error) { return s.Counts(), nil })
	handle("POST faults", s.adminFault)
	handle("DELETE faults", func(*http.Request) (any, error) { s.Heal(); return struct{}{}, nil })
	handle("POST edits", func(r *http.Request) (any, error) {
		var e struct {
			Method, ID string
			Body       json.RawMessage
		}
		if err := strict(r, &e); err != nil {
			return nil, err
		}
		if strings.EqualFold(e.Method, http.MethodDelete) {
			return struct{}{}, s.Delete(e.ID)
		}
		return struct{}{}, s.Put(e.ID, string(e.Body))
	})
	handle("GET document", func(r *http.Request) (any, error) {
		text, err := s.Document(r.URL.Query().Get("id"))
		return json.RawMessage(text), err
	})
	handle("GET connect", s.adminConnect)
	return mux
}

func strict(r *http.Request, v any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}

func (s *Simulator) adminFault(r *http.Request) (any, error) {
	var f struct {
		Kind                       fault.Kind
		Method, Type, ID, Identity string
		Skip, Times, Status        int
		Rate                       float64
		Code                       string
		For, RetryAfter, Delay     string
		Edits                      []fault.Edit
	}
	if err := strict(r, &f); err != nil {
		return nil, err
	}
	if err := f.Kind.Valid(); err != nil {
		return nil, err
	}
	injected := fault.Fault{
		Kind: f.Kind, Method: f.Method, Type: f.Type, ID: f.ID, Identity: f.Identity, Skip: f.Skip, Times: f.Times, Rate: f.Rate,
		For: 0, Status: f.Status, Code: f.Code, RetryAfter: 0, Delay: 0, Edits: f.Edits,
	}
	for text, d := range map[*string]*time.Duration{&f.For: &injected.For, &f.RetryAfter: &injected.RetryAfter, &f.Delay: &injected.Delay} {
		if *text == "" {
			continue
		}
		var err error
		if *d, err = time.ParseDuration(*text); err != nil {
			return nil, err
		}
	}
	s.Inject(injected)
	return struct{}{}, nil
}

func (s *Simulator) adminConnect(r *http.Request) (any, error) {
	query := r.URL.Query()
	client, err := netip.ParseAddr(query.Get("client"))
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(query.Get("port"), 10, 16)
	if err != nil {
		return nil, err
	}
	v := s.Connect(client, query.Get("vm"), uint16(port))
	steps := []string{}
	for _, x := range v.Steps {
		steps = append(steps, x.String())
	}
	return map[string]any{"outcome": v.Outcome.String(), "by": v.By().String(), "steps": steps}, nil
}
