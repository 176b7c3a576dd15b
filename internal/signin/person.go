package signin

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authn/known"
	"github.com/sesame-access/sesame/internal/authn/oidc"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/store"
)

func isPending(err error) bool { return errors.Is(err, oidc.ErrPending) || isSlow(err) }

func isSlow(err error) bool { return errors.Is(err, oidc.ErrSlowDown) }

// A Known is an identity that is known, and how it came to its person.
type Known struct {
	known.Sighting
	// Link is zero where nobody linked it.
	Link known.Link
}

// List returns everybody who signed in, has a good token or was linked, sorted by
// issuer and subject.
func (d *Desk) List(ctx context.Context) ([]Known, error) {
	rules, err := d.Store.Rules(ctx)
	if err != nil {
		return nil, err
	}
	seen, err := d.Store.Identities(ctx)
	if err != nil {
		return nil, err
	}
	tokens, err := d.Store.Tokens(ctx)
	if err != nil {
		return nil, err
	}
	all := map[access.Principal]Known{}
	bare := func(p access.Principal) access.Principal {
		return access.Principal{Issuer: p.Issuer, Subject: p.Subject, Display: ""}
	}
	for _, t := range tokens {
		if t.Revoked.IsZero() {
			all[bare(t.Principal)] = Known{Sighting: known.Sighting{Identity: access.Identity{Principal: t.Principal, Kind: access.Program}}}
		}
	}
	for _, s := range seen {
		if d.people(s.Issuer) && s.Kind == access.Person {
			s.Person = access.PersonOf(s.Principal)
		}
		all[bare(s.Principal)] = Known{Sighting: s}
	}
	for _, l := range rules.Links {
		k := all[bare(l.Principal)]
		if k.Issuer == "" {
			k.Principal = l.Principal
		}
		k.Person, k.Kind, k.Link = l.Person, access.Person, l
		all[bare(l.Principal)] = k
	}
	out := make([]Known, 0, len(all))
	for _, k := range all {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b Known) int {
		return cmp.Or(cmp.Compare(a.Issuer, b.Issuer), cmp.Compare(a.Subject, b.Subject))
	})
	return out, nil
}

// people reports whether whoever signs in at an issuer is a person by themselves.
func (d *Desk) people(url string) bool {
	i := slices.IndexFunc(d.Issuers, func(i *oidc.Issuer) bool { return i.Issues(url) })
	return i >= 0 && d.Issuers[i].People()
}

// find returns what is known of the identity called name: ISSUER#SUBJECT, or the
// subject alone of one of our own tokens.
func (d *Desk) find(ctx context.Context, field, name string) (Known, error) {
	all, err := d.List(ctx)
	if err != nil {
		return Known{}, err
	}
	p := access.Principal{Issuer: "local", Subject: name, Display: ""}
	if i := strings.LastIndexByte(name, '#'); i >= 0 {
		p.Issuer, p.Subject = name[:i], name[i+1:]
	}
	i := slices.IndexFunc(all, func(k Known) bool { return k.Is(p) })
	if i < 0 {
		return Known{}, errkind.Bad(field, name, "an identity that is known; `sesame identity list` shows them, and who has never come is not among them")
	}
	return all[i], nil
}

// Link makes the identity called name the person that to is or, where to is empty,
// a person by itself. It is for administrators, and the caller has seen to that.
func (d *Desk) Link(ctx context.Context, by access.Principal, addr netip.Addr, name, to string) (Known, error) {
	who, err := d.find(ctx, "identity", name)
	if err != nil {
		return Known{}, err
	}
	if who.Kind == access.Program && who.Issuer != "local" {
		return Known{}, errkind.New(errkind.Invalid, "%s is a program of %s: it has a token because of where it runs, and nobody is behind it", who, who.Issuer)
	}
	person := access.PersonOf(who.Principal)
	text := who.Issuer + "#" + who.Subject + " is a person by itself"
	if to != "" {
		other, err := d.find(ctx, "to", to)
		if err != nil {
			return Known{}, err
		}
		if other.Person == "" {
			return Known{}, errkind.New(errkind.Invalid, "%s is nobody yet: link it by itself first, if it is a person's", other)
		}
		person, text = other.Person, who.Issuer+"#"+who.Subject+" is the person that "+other.Issuer+"#"+other.Subject+" is"
	}
	rec := d.record(audit.Linked, by, addr)
	rec.Text = text + " (" + person + ")"
	who.Link = known.Link{Principal: who.Principal, Person: person, By: by, Since: rec.Time}
	who.Person, who.Kind = person, access.Person
	c := store.Change{Identity: known.Change{Links: []known.Link{who.Link}}, Records: []audit.Record{rec}}
	return who, d.Store.Save(ctx, c)
}

// Unlink takes back what Link did.
func (d *Desk) Unlink(ctx context.Context, by access.Principal, addr netip.Addr, name string) error {
	who, err := d.find(ctx, "identity", name)
	if err != nil {
		return err
	}
	if who.Link.Person == "" {
		return errkind.New(errkind.Invalid, "%s is linked to nobody", who)
	}
	rec := d.record(audit.Unlinked, by, addr)
	rec.Text = who.Issuer + "#" + who.Subject + " was " + who.Link.Person
	return d.Store.Save(ctx, store.Change{Identity: known.Change{Unlinks: []access.Principal{who.Principal}}, Records: []audit.Record{rec}})
}
