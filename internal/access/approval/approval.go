// Package approval says what becomes of a request that other people have to agree
// to.
//
// Such a request waits. It waits for one stage after the other, and in each for so
// many different people; nobody counts in two. Whoever may agree may also deny,
// which ends it, and the requester may take it back. It lapses when nobody has
// decided in time, by whichever clock is furthest along. What has ended once never
// waits again.
//
// An approval is about one request exactly as it was asked and about the policies
// as they were: it carries the SHA-256 of all that, and counts for nothing else.
// Only people approve, and nobody approves what they asked for themselves, under
// whatever name: principals are compared, and the persons behind them.
//
// The state is derived from the votes, which are kept in the order in which they
// were cast. There is no flag that says how a request stands, so none is wrong.
package approval

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/policy"
)

// MaxComment is how many characters the comment of a vote may have.
const MaxComment = access.MaxReasonLength

// Choice is what somebody wants to become of a request.
type Choice string

// The choices.
const (
	Approve Choice = "approve"
	Deny    Choice = "deny"
	Cancel  Choice = "cancel" // its requester takes it back, or Sesame does because its policy changed
	Lapse   Choice = "lapse"  // nobody decided in time; noted once, and decides nothing
	Review  Choice = "review" // somebody has looked at an emergency that is over
)

// A Vote is what one person said about one request.
type Vote struct {
	Choice Choice
	// Stage is the one that an approval was given in; empty for every other choice.
	Stage string
	// Person is who approved, whatever name they used.
	Person  string
	By      access.Principal
	Comment string
	// Digest is that of the terms that the vote was about.
	Digest [sha256.Size]byte
	At     time.Time
}

// A Version names a policy as it was.
type Version struct {
	Policy  string
	Version int64
}

// Terms are what a request waits for.
type Terms struct {
	// Stages are wanted in this order.
	Stages []policy.Approval
	// Policies are those that the decision was based on, sorted by name.
	Policies []Version
	// Lapses is when the request has waited long enough.
	Lapses access.Deadline
	// Digest binds an approval to the request, its stages and its policies.
	Digest [sha256.Size]byte
}

// Waits reports whether t is of a request that waits, or has waited.
func (t Terms) Waits() bool { return len(t.Stages) > 0 }

// TermsOf returns the terms of req under the policies that allow its doors, asked
// at now. There are none where no policy wants approval. Of a stage that several
// policies name, the most approvals are wanted; it comes where it was first named.
func TermsOf(req access.Request, policies []policy.Policy, now access.Reading) Terms {
	var t Terms
	within := time.Duration(0)
	for _, p := range policies {
		t.Policies = append(t.Policies, Version{Policy: p.Name, Version: p.Version})
		for _, a := range p.Approvals {
			t.Stages = merged(t.Stages, a)
		}
		if p.Within > 0 && (within == 0 || p.Within < within) {
			within = p.Within
		}
	}
	if !t.Waits() {
		return Terms{}
	}
	end := now.Wall.Add(within)
	if last := req.Until.Add(-access.MinDuration); !req.Until.IsZero() && last.Before(end) {
		end = last // later, there is nothing left to grant
	}
	t.Lapses = access.DeadlineAt(firewall.Instant(end), now)
	t.Digest = digest(req, t.Stages, t.Policies)
	return t
}

func merged(stages []policy.Approval, a policy.Approval) []policy.Approval {
	for i, s := range stages {
		if s.Stage == a.Stage {
			stages[i].Count = max(s.Count, a.Count)
			return stages
		}
	}
	return append(stages, a)
}

// digest is the SHA-256 of everything that an approver agrees to: one line each,
// every text in quotes, so that no two requests read the same. Who asked, from
// where and when is part of it; how long it may wait is not.
func digest(req access.Request, stages []policy.Approval, policies []Version) [sha256.Size]byte {
	var b strings.Builder
	line := func(name string, value any) { fmt.Fprintf(&b, "%s %q\n", name, fmt.Sprint(value)) }
	b.WriteString("sesame approval v1\n")
	line("request", req.ID)
	line("issuer", req.Principal.Issuer)
	line("subject", req.Principal.Subject)
	for _, d := range req.Doors {
		line("door", d)
	}
	for _, s := range req.Sources {
		line("source", s)
	}
	line("caller", req.Caller)
	line("start", millis(req.Start))
	line("duration", req.Duration.Milliseconds())
	line("until", millis(req.Until))
	line("reason", req.Reason)
	line("ticket", req.Ticket)
	line("glass", req.Glass)
	line("asked", millis(req.Asked))
	for _, s := range stages {
		line("stage "+s.Stage, s.Count)
	}
	for _, p := range policies {
		line("policy "+p.Policy, p.Version)
	}
	return sha256.Sum256([]byte(b.String()))
}

// millis is t as it is stored; 0 for the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
