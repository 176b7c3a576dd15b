package front

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/store"
)

// A Param is one thing that a query string may say.
type Param struct {
	Name, Doc string
	Required  bool
	Many      bool // may be there more than once
	Integer   bool
	OneOf     []string
}

// A Query is a query string that holds only what its route knows.
type Query struct{ values url.Values }

// ParseQuery reads a query string: nothing that the route does not know, nothing
// twice, nothing empty, and everything that is required.
func ParseQuery(raw string, params []Param) (Query, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return Query{}, errkind.New(errkind.Invalid, "the query string cannot be read; escape what is special in it")
	}
	for name, list := range values {
		i := slices.IndexFunc(params, func(p Param) bool { return p.Name == name })
		switch {
		case i < 0:
			return Query{}, errkind.Wrong("query", name, "a parameter that is known here", "%s is not a parameter here%s", errkind.Quote(name), parameters(params))
		case len(list) > 1 && !params[i].Many:
			return Query{}, errkind.Wrong(name, strings.Join(list, ", "), "given once", "it is given %d times, and may be given once", len(list))
		}
		for _, v := range list {
			if err := checkParam(params[i], v); err != nil {
				return Query{}, err
			}
		}
	}
	for _, p := range params {
		if p.Required && !values.Has(p.Name) {
			return Query{}, errkind.Wrong(p.Name, "", p.Doc, "it is missing; needed is %s", p.Doc)
		}
	}
	return Query{values: values}, nil
}

func checkParam(p Param, v string) error {
	switch {
	case v == "" || len(v) > api.MaxParam || !utf8.ValidString(v) || strings.ContainsRune(v, 0):
		return errkind.Bad(p.Name, v, "text of 1 to "+strconv.Itoa(api.MaxParam)+" bytes; leave the parameter out for none")
	case len(p.OneOf) > 0 && !slices.Contains(p.OneOf, v):
		return errkind.Bad(p.Name, v, "one of "+strings.Join(p.OneOf, ", "))
	}
	return nil
}

// parameters lists the parameters of a route for a message.
func parameters(params []Param) string {
	if len(params) == 0 {
		return "; there are none"
	}
	names := make([]string, len(params))
	for i, p := range params {
		names[i] = p.Name
	}
	return "; there are " + strings.Join(names, ", ")
}

// Text returns what the query says as name; empty for nothing.
func (q Query) Text(name string) string { return q.values.Get(name) }

// Texts returns everything that the query says as name.
func (q Query) Texts(name string) []string { return q.values[name] }

// Flag reports whether the query says that name is true.
func (q Query) Flag(name string) bool { return q.values.Get(name) == "true" }

// Page reads limit and cursor.
func (q Query) Page() (store.Page, error) {
	out := store.Page{Limit: 0, Cursor: q.Text("cursor")}
	s := q.Text("limit")
	if s == "" {
		return out, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > store.MaxLimit || s != strconv.Itoa(n) {
		return out, errkind.Bad("limit", s, "a whole number from 1 to "+strconv.Itoa(store.MaxLimit))
	}
	out.Limit = n
	return out, nil
}

// Instant reads an instant; zero for none.
func (q Query) Instant(name string, now time.Time) (time.Time, error) {
	if s := q.Text(name); s != "" {
		return access.ParseTime(name, s, now)
	}
	return time.Time{}, nil
}

// ID reads an id of the kind that prefix names; empty for none.
func (q Query) ID(name, prefix string) (string, error) {
	s := q.Text(name)
	if s == "" {
		return "", nil
	}
	return access.ParseID(name, prefix, s)
}

// PageParams are the parameters that Page reads.
func PageParams() []Param {
	return []Param{
		{Name: "limit", Doc: "the most to return, 1 to 1000; 100 if it is not given", Integer: true},
		{Name: "cursor", Doc: "the next of an earlier page"},
	}
}

// Principal reads "me", a local subject, or ISSUER#SUBJECT; zero for none.
func (q Query) Principal(me access.Principal) access.Principal {
	s := q.Text("principal")
	switch s {
	case "":
		return access.Principal{}
	case "me":
		return me
	}
	out := access.Principal{Issuer: "local", Subject: s, Display: ""}
	if i := strings.LastIndexByte(s, '#'); i >= 0 {
		out.Issuer, out.Subject = s[:i], s[i+1:]
	}
	return out
}
