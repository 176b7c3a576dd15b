package approval

import (
	"fmt"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/policy"
)

// State is how a request stands.
type State string

// The states. From Pending, a request comes to one of the others and stays there.
const (
	Pending   State = "pending"   // others have to agree
	Approved  State = "approved"  // it was granted: at once, or everybody agreed
	Denied    State = "denied"    // no rule allows it, or somebody said no
	Cancelled State = "cancelled" // taken back
	Expired   State = "expired"   // nobody decided in time
)

// A Case is a request with what it waits for, and what was said about it.
type Case struct {
	access.Request
	access.Decision
	Terms
	Votes []Vote // in the order in which they were cast
}

// StateAt returns how c stands at a reading of the clocks.
func (c Case) StateAt(now access.Reading) State {
	if s := c.settled(); s != "" {
		return s
	}
	if c.Lapses.Passed(now) {
		return Expired
	}
	return Pending
}

// settled returns the state that c has for good; empty while only the time can
// still tell.
func (c Case) settled() State {
	switch {
	case !c.Allow:
		return Denied
	case !c.Waits():
		return Approved
	}
	for i, v := range c.Votes {
		switch v.Choice {
		case Approve:
			if len(c.left(c.Votes[:i+1])) == 0 {
				return Approved
			}
		case Deny:
			return Denied
		case Cancel:
			return Cancelled
		case Lapse:
			return Expired
		case Review:
		}
	}
	return ""
}

// Left returns the stages that are not complete, in order, each with how many
// approvals it still lacks. The first is the one that is asked now.
func (c Case) Left() []policy.Approval { return c.left(c.Votes) }

func (c Case) left(votes []Vote) []policy.Approval {
	var out []policy.Approval
	for _, s := range c.Stages {
		if missing := s.Count - c.approvals(votes, s.Stage); missing > 0 {
			out = append(out, policy.Approval{Stage: s.Stage, Count: missing})
		}
	}
	return out
}

// approvals counts the different people who approved in a stage. What is not about
// these terms, is nobody's or the requester's own counts for nothing, however it
// came among the votes.
func (c Case) approvals(votes []Vote, stage string) int {
	n := 0
	for i, v := range votes {
		counts := v.Choice == Approve && v.Digest == c.Digest && v.Person != "" && !v.By.Is(c.Principal)
		for _, earlier := range votes[:i] {
			counts = counts && !(earlier.Choice == Approve && earlier.Person == v.Person)
		}
		if counts && v.Stage == stage {
			n++
		}
	}
	return n
}

// Reviewed reports whether somebody has looked at the emergency that c was.
func (c Case) Reviewed() bool {
	for _, v := range c.Votes {
		if v.Choice == Review {
			return true
		}
	}
	return false
}

// Why says in a phrase what became of c and by whom, or whom it waits for.
func (c Case) Why(now access.Reading) string {
	by := func(choice Choice, phrase string) string {
		for _, v := range c.Votes {
			if v.Choice == choice {
				return phrase + " by " + v.By.String() + comment(v)
			}
		}
		return ""
	}
	switch state := c.StateAt(now); state {
	case Pending:
		var parts []string
		for _, s := range c.Left() {
			parts = append(parts, fmt.Sprintf("%d of %s", s.Count, s.Stage))
		}
		return "waits for " + strings.Join(parts, ", then ")
	case Approved:
		var names []string
		for _, v := range c.Votes {
			if v.Choice == Approve {
				names = append(names, v.By.String()+" ("+v.Stage+")")
			}
		}
		if len(names) > 0 {
			return "approved by " + strings.Join(names, ", ")
		}
		return ""
	case Denied:
		return by(Deny, "denied")
	case Cancelled:
		return by(Cancel, "cancelled")
	case Expired:
		return "nobody decided until " + c.Lapses.Wall.UTC().Format(time.RFC3339)
	}
	return ""
}

func comment(v Vote) string {
	if v.Comment == "" {
		return ""
	}
	return ": " + v.Comment
}
