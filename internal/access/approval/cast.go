package approval

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/errkind"
)

// Cast returns c with v among its votes, if v may be cast at now. An approval says
// by its digest what it is about, and gets its stage here. requester is the person behind the principal who asked, as
// far as that is known by now: links may have been made since.
//
// It does not say whether somebody with v's roles may decide on these VMs, which is
// a question for package authz.
func (c Case) Cast(v Vote, requester string, now access.Reading) (Case, Vote, error) {
	mine := v.By.Is(c.Principal) || v.Person != "" && v.Person == requester
	if v.Choice == Review {
		return c.review(v, mine)
	}
	if state := c.StateAt(now); state != Pending && !(v.Choice == Lapse && c.settled() == "") {
		return c, v, errkind.New(errkind.Conflict, "request %s is %s already%s; nothing was changed", c.ID, state, told(c.Why(now)))
	}
	switch {
	case v.Choice == Cancel && !mine && !v.By.Is(access.System()):
		return c, v, errkind.New(errkind.Denied, "request %s is %s's, who alone takes it back; an approver denies it instead", c.ID, c.Principal)
	case v.Choice == Approve || v.Choice == Deny:
		if err := c.mayDecide(v, mine); err != nil {
			return c, v, err
		}
	}
	if v.Choice != Approve {
		v.Digest = c.Digest
		return c.with(v), v, nil
	}
	if v.Digest != c.Digest {
		return c, v, errkind.New(errkind.Conflict, "what %s wants to approve is not request %s as it was asked; look at it again", v.By, c.ID)
	}
	v.Stage = c.Left()[0].Stage
	return c.with(v), v, nil
}

// mayDecide refuses whoever nobody else has agreed with when they agree.
func (c Case) mayDecide(v Vote, mine bool) error {
	switch {
	case mine:
		return errkind.New(errkind.Denied, "request %s is %s's own, and nobody approves or denies their own; `sesame cancel` takes it back", c.ID, c.Principal)
	case v.Person == "":
		return errkind.New(errkind.Denied, "%s is not known to be a person, and only people approve or deny; an administrator says which person it is", v.By)
	case slices.ContainsFunc(c.Votes, func(x Vote) bool { return x.Choice == Approve && x.Person == v.Person }):
		return errkind.New(errkind.Conflict, "%s has approved request %s already, and every approval takes another person", v.By, c.ID)
	}
	return nil
}

// review notes that somebody has looked at what happened.
func (c Case) review(v Vote, mine bool) (Case, Vote, error) {
	switch {
	case !c.Glass || !c.Allow:
		return c, v, errkind.New(errkind.Invalid, "request %s broke no glass, so there is nothing to review", c.ID)
	case mine:
		return c, v, errkind.New(errkind.Denied, "request %s is %s's own, and somebody else has to review it", c.ID, c.Principal)
	case v.Person == "":
		return c, v, errkind.New(errkind.Denied, "%s is not known to be a person, and only people review; an administrator says which person it is", v.By)
	case c.Reviewed():
		return c, v, errkind.New(errkind.Conflict, "request %s was reviewed already", c.ID)
	}
	v.Digest = c.Digest
	return c.with(v), v, nil
}

func (c Case) with(v Vote) Case {
	c.Votes = append(slices.Clip(c.Votes), v)
	return c
}

func told(why string) string {
	if why == "" {
		return ""
	}
	return " (" + why + ")"
}

// FormatDigest writes a digest as ParseDigest reads it.
func FormatDigest(d [sha256.Size]byte) string { return hex.EncodeToString(d[:]) }

// ParseDigest reads 64 lower-case hexadecimal digits.
func ParseDigest(field, s string) (d [sha256.Size]byte, err error) {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != len(d) || hex.EncodeToString(raw) != s {
		return d, errkind.Bad(field, s, "the 64 hexadecimal digits that the request shows as its digest")
	}
	return [sha256.Size]byte(raw), nil
}
