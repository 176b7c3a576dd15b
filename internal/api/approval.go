package api

import (
	"crypto/sha256"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/access/approval"
)

// An Approval says how a request stands with those who have to agree.
type Approval struct {
	State  string  `json:"state" enum:"pending,approved,denied,cancelled,expired"`
	Why    string  `json:"why,omitzero" doc:"Whom it waits for, or what became of it."`
	Stages []Stage `json:"stages,omitempty" doc:"Who has to agree, one stage after the other."`
	Left   []Stage `json:"left,omitempty" doc:"Who has yet to agree; the first stage is asked now."`
	Lapses Time    `json:"lapses,omitzero" doc:"When it has waited long enough."`
	Digest string  `json:"digest,omitzero" doc:"What an approval is about: the request and its policies as they are."`
	Votes  []Vote  `json:"votes,omitempty" doc:"What was said, in order."`
}

// A Vote is what one person said.
type Vote struct {
	Choice  string    `json:"choice" enum:"approve,deny,cancel,lapse,review"`
	Stage   string    `json:"stage,omitzero"`
	By      Principal `json:"by"`
	Comment string    `json:"comment,omitzero"`
	At      Time      `json:"at"`
}

// RequestIn returns c at a reading of the clocks, without grants, as it goes over the
// wire.
func RequestIn(c approval.Case, now access.Reading) Request {
	out := RequestOf(c.Request, c.Decision)
	a := Approval{State: string(c.StateAt(now)), Why: c.Why(now), Stages: mapped(c.Stages, StageOf), Left: mapped(c.Left(), StageOf)}
	if c.Waits() {
		a.Lapses, a.Digest = TimeOf(c.Lapses.Wall), approval.FormatDigest(c.Digest)
	}
	a.Votes = mapped(c.Votes, func(v approval.Vote) Vote {
		return Vote{Choice: string(v.Choice), Stage: v.Stage, By: PrincipalOf(v.By), Comment: v.Comment, At: TimeOf(v.At)}
	})
	out.Approval = &a
	return out
}

// An Approve agrees to a request.
type Approve struct {
	Digest  string `json:"digest" doc:"That of the request as you have seen it."`
	Comment string `json:"comment,omitzero" maxLength:"500"`
}

// Parse reads a.
func (a Approve) Parse() (digest [sha256.Size]byte, comment string, err error) {
	if a.Digest == "" {
		return digest, "", missing("digest", "the digest that the request shows")
	}
	if digest, err = approval.ParseDigest("digest", a.Digest); err != nil {
		return digest, "", err
	}
	comment, err = access.ParseReason("comment", a.Comment)
	return digest, comment, err
}

// A Comment says why a request is denied or taken back, or what a review found.
type Comment struct {
	Comment string `json:"comment,omitzero" maxLength:"500"`
}

// Parse reads c.
func (c Comment) Parse() (string, error) { return access.ParseReason("comment", c.Comment) }
