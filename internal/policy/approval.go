package policy

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/document"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// The limits of what a policy says about approval.
const (
	MaxStages    = 8
	MaxApprovals = 8 // of one stage
	MaxTicket    = 200
	MaxInGlass   = 64

	// MaxGlass is the longest that an emergency may last; DefaultGlass how long it
	// lasts where a policy does not say. An emergency is short, or it is a habit.
	MaxGlass     = 4 * time.Hour
	DefaultGlass = 30 * time.Minute

	// MinWithin is the least that a request waits, so that somebody can have seen
	// it, and MaxWithin about how long anybody remembers what it was for.
	MinWithin     = time.Minute
	MaxWithin     = 7 * 24 * time.Hour
	DefaultWithin = time.Hour
)

// An Approval is one stage: so many different people agree before the next stage
// is asked. Who may agree in it is decided in package authz.
type Approval struct {
	Stage string // see firewall.ValidName
	Count int    // at least 1
}

// Glass is what may be broken in an emergency: named people get in without
// anybody's approval, and whatever their roles, for a short time.
type Glass struct {
	// Who may; nobody where it is empty.
	Who []access.Principal // sorted, no display names
	// Max is the longest grant; 0 where nobody may.
	Max time.Duration
}

// Allows reports whether p may break g.
func (g Glass) Allows(p access.Principal) bool { return slices.ContainsFunc(g.Who, p.Is) }

// withDefaults fills in what goes with stages and with glass.
func (p Policy) withDefaults() Policy {
	p.Approvals, p.Glass.Who = slices.Clone(p.Approvals), sorted(p.Glass.Who, access.ComparePrincipals)
	if len(p.Approvals) == 0 {
		p.Approvals = nil
	} else {
		p.Within = cmp.Or(p.Within, DefaultWithin)
	}
	if len(p.Glass.Who) > 0 {
		p.Glass.Max = cmp.Or(p.Glass.Max, DefaultGlass)
	}
	return p
}

func approvalsFromDocument(v document.Value) []Approval {
	var out []Approval
	for _, item := range v.List(0, MaxStages) {
		m := item.Map("stage", "count")
		parseStage := func(s string) (string, error) { return firewall.ParseName("stage", s) }
		a := Approval{
			Stage: document.Text(m.Get("stage").Required(wantName), "", parseStage),
			Count: document.Integer(m.Get("count"), 1, 1, MaxApprovals),
		}
		if slices.ContainsFunc(out, func(x Approval) bool { return x.Stage == a.Stage }) {
			item.Fail(errkind.New(errkind.Invalid, "there is a stage %s already; name each once, with its count", a.Stage))
			continue
		}
		out = append(out, a)
	}
	return out
}

// withinFromDocument reads how long a request waits; stages says whether there is
// anything to wait for.
func withinFromDocument(v document.Value, stages bool) time.Duration {
	fallback := time.Duration(0)
	if stages {
		fallback = DefaultWithin
	}
	return document.Text(v, fallback, parseWithin)
}

func parseWithin(s string) (time.Duration, error) {
	return access.ParseSpan("approve_within", s, MinWithin, MaxWithin)
}

func glassFromDocument(v document.Value) Glass {
	m := v.Map("who", "max")
	if v.Missing() {
		return Glass{}
	}
	who := m.Get("who").Required("a list of at least one principal, such as [local#dora]")
	return Glass{
		Who: document.Texts(who, 1, MaxInGlass, parseWho, access.ComparePrincipals),
		Max: document.Text(m.Get("max"), DefaultGlass, parseGlassMax),
	}
}

func parseWho(s string) (access.Principal, error) { return access.ParsePrincipal("who", s) }

func parseGlassMax(s string) (time.Duration, error) {
	return access.ParseSpan("max", s, access.MinDuration, MaxGlass)
}

// parseReason reads whether a request has to say what it is for.
func parseReason(s string) (bool, error) {
	if s != wordRequired && s != "optional" {
		return false, errkind.Bad("reason", s, `"required" or "optional"`)
	}
	return s == wordRequired, nil
}

const wordRequired = "required"

// parseTicket reads the pattern of tickets: an expression of RE2, which a ticket
// matches from its first letter to its last. It has to say something: a pattern
// that every text matches would only look like a rule.
func parseTicket(s string) (string, error) {
	bad := func(want string) (string, error) { return "", errkind.Bad("ticket", s, want) }
	if s == "" || len(s) > MaxTicket {
		return bad("a pattern of 1 to " + strconv.Itoa(MaxTicket) + " bytes, such as CHG-[0-9]+")
	}
	if _, err := access.ParseReason("ticket", s); err != nil {
		return bad("plain text on one line, without control characters")
	}
	if _, err := regexp.Compile(s); err != nil {
		return bad("a regular expression of RE2, such as CHG-[0-9]+ (" + err.Error() + ")")
	}
	if whole(s).MatchString("") {
		return bad("a pattern that the empty text does not match, such as CHG-[0-9]+")
	}
	return s, nil
}

// whole returns the pattern s as one that a text matches from end to end, whatever
// alternatives s has; one that nothing matches if it is none.
func whole(s string) *regexp.Regexp {
	r, err := regexp.Compile(`\A(?:` + s + `)\z`)
	if err != nil {
		return regexp.MustCompile(`[^\x00-\x{10FFFF}]`)
	}
	return r
}

// checkWords returns every reason why what req says about itself is not enough.
func (p Policy) checkWords(req access.Request) (not []string) {
	if req.Reason == "" && (p.Reason || req.Glass) {
		not = append(not, "gives no reason, and must give one")
	}
	switch {
	case p.Ticket == "" || req.Glass: // in an emergency nobody writes one first
	case req.Ticket == "":
		not = append(not, "names no ticket, and must name one that matches "+errkind.Quote(p.Ticket))
	case !whole(p.Ticket).MatchString(req.Ticket):
		not = append(not, "ticket "+errkind.Quote(req.Ticket)+" does not match "+errkind.Quote(p.Ticket)+" as a whole")
	}
	return not
}

func validateApprovals(p Policy) error {
	if n := len(p.Approvals); n > MaxStages {
		return errkind.Wrong("approvals", strconv.Itoa(n), "a list of at most "+strconv.Itoa(MaxStages), "it has %d stages, and may have %d at most", n, MaxStages)
	}
	for i, a := range p.Approvals {
		place := fmt.Sprintf("approvals[%d]", i)
		if _, err := firewall.ParseName("stage", a.Stage); err != nil {
			return errkind.In(place, err)
		}
		if a.Count < 1 || a.Count > MaxApprovals {
			return errkind.Bad(place+".count", strconv.Itoa(a.Count), fmt.Sprintf("a whole number from 1 to %d", MaxApprovals))
		}
		if slices.ContainsFunc(p.Approvals[:i], func(x Approval) bool { return x.Stage == a.Stage }) {
			return errkind.Bad(place+".stage", a.Stage, "a stage that is not named before")
		}
	}
	switch {
	case len(p.Approvals) == 0 && p.Within != 0:
		return errkind.Bad("approve_within", access.FormatDuration(p.Within), "left out where no approvals are wanted")
	case len(p.Approvals) == 0:
		return nil
	case p.Within%time.Second != 0:
		return errkind.Bad("approve_within", p.Within.String(), "a duration in whole seconds")
	}
	_, err := parseWithin(access.FormatDuration(p.Within))
	return err
}

func validateGlass(g Glass) error {
	if len(g.Who) == 0 && g.Max == 0 {
		return nil
	}
	if err := list("break_glass.who", g.Who, 1, MaxInGlass, access.ComparePrincipals); err != nil {
		return err
	}
	for i, p := range g.Who {
		if who, err := parseWho(p.Name()); err != nil || who != p {
			return errkind.Bad(fmt.Sprintf("break_glass.who[%d]", i), p.Name(), "ISSUER#SUBJECT, such as local#dora")
		}
	}
	if g.Max%time.Second != 0 {
		return errkind.Bad("break_glass.max", g.Max.String(), "a duration in whole seconds")
	}
	_, err := parseGlassMax(access.FormatDuration(g.Max))
	return errkind.In("break_glass", err)
}

// formatApprovals writes what p says about approval, and nothing where it says
// nothing.
func formatApprovals(b *bytes.Buffer, p Policy) {
	if len(p.Approvals) > 0 {
		b.WriteString("approvals:\n")
		for _, a := range p.Approvals {
			fmt.Fprintf(b, "  - {stage: %s, count: %d}\n", document.Scalar(a.Stage), a.Count)
		}
		fmt.Fprintf(b, "approve_within: %s\n", access.FormatDuration(p.Within))
	}
	if p.Reason {
		b.WriteString("reason: required\n")
	}
	if p.Ticket != "" {
		fmt.Fprintf(b, "ticket: %s\n", document.Scalar(p.Ticket))
	}
	if len(p.Glass.Who) > 0 {
		b.WriteString("break_glass:\n")
		formatList(b, "  ", "who", p.Glass.Who, access.Principal.Name)
		fmt.Fprintf(b, "  max: %s\n", access.FormatDuration(p.Glass.Max))
	}
}

// stages names the stages of p: "1 of lead, 2 of security".
func (p Policy) stages() string {
	names := make([]string, len(p.Approvals))
	for i, a := range p.Approvals {
		names[i] = fmt.Sprintf("%d of %s", a.Count, a.Stage)
	}
	return cmp.Or(strings.Join(names, ", "), "none")
}

// diffApprovals says what is different in what after says about approval.
func diffApprovals(say func(string, ...any), before, after Policy) {
	word := func(b bool) string {
		if b {
			return wordRequired
		}
		return "optional"
	}
	for _, field := range []struct{ name, before, after string }{
		{"approvals", before.stages(), after.stages()},
		{"approve within", access.FormatDuration(before.Within), access.FormatDuration(after.Within)},
		{"reason", word(before.Reason), word(after.Reason)},
		{"ticket", cmp.Or(before.Ticket, "any"), cmp.Or(after.Ticket, "any")},
	} {
		if field.before != field.after {
			say("%s: %s → %s", field.name, field.before, field.after)
		}
	}
	members(say, "break glass", before.Glass.Who, after.Glass.Who, access.Principal.Name)
	if before.Glass.Max != after.Glass.Max {
		say("break glass max: %s → %s", access.FormatDuration(before.Glass.Max), access.FormatDuration(after.Glass.Max))
	}
}
