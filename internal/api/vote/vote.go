// Package vote holds the wire types of what people say about requests, and of the
// codes that are used when nobody can be asked. See package api for their manners.
package vote

import (
	"crypto/sha256"
	"time"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/access/approval"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/policy"
)

// RequestIn returns c at a reading of the clocks, without grants, as it goes over the
// wire.
func RequestIn(c approval.Case, now access.Reading) api.Request {
	out := api.RequestOf(c.Request, c.Decision)
	a := api.Approval{State: string(c.StateAt(now)), Why: c.Why(now), Stages: stages(c.Stages), Left: stages(c.Left())}
	if c.Waits() {
		a.Lapses, a.Digest = api.TimeOf(c.Lapses.Wall), approval.FormatDigest(c.Digest)
	}
	for _, v := range c.Votes {
		a.Votes = append(a.Votes, api.Vote{Choice: string(v.Choice), Stage: v.Stage, By: api.PrincipalOf(v.By), Comment: v.Comment, At: api.TimeOf(v.At)})
	}
	out.Approval = &a
	return out
}

func stages(list []policy.Approval) []api.Stage {
	var out []api.Stage
	for _, s := range list {
		out = append(out, api.StageOf(s))
	}
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
		return digest, "", errkind.Wrong("digest", "", "the digest that the request shows", "digest is missing; it must be that which the request shows")
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

// NewCodes asks for codes, each good for one emergency of a principal.
type NewCodes struct {
	Principal string `json:"principal" doc:"Whose they are, as ISSUER#SUBJECT."`
	Count     int    `json:"count,omitzero" minimum:"1" maximum:"10" default:"1"`
	Lifetime  string `json:"lifetime,omitzero" doc:"How long they are good, from 1h to 2160h." default:"720h"`
}

// Codes are secrets that are shown this once.
type Codes struct {
	Codes []string `json:"codes"`
}

// Parse reads n.
func (n NewCodes) Parse() (who access.Principal, count int, lifetime time.Duration, err error) {
	const month, least, most = 30 * 24 * time.Hour, time.Hour, 90 * 24 * time.Hour
	if who, err = access.ParsePrincipal("principal", n.Principal); err != nil {
		return who, 0, 0, err
	}
	lifetime = month
	if n.Lifetime != "" {
		lifetime, err = access.ParseSpan("lifetime", n.Lifetime, least, most)
	}
	return who, max(n.Count, 1), lifetime, err
}
