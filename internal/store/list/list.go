// Package list holds what lists with filters and pages are put together from:
// conditions whose values never become part of a query's text, and cursors that
// only name a place.
package list

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/errkind"
)

// A Place is that of the last item of a page.
type Place struct {
	List string // a word that names the list
	At   int64  // milliseconds, or an index
	ID   string
}

// Cursor returns the text that stands for p.
func (p Place) Cursor() string {
	return base64.RawURLEncoding.EncodeToString([]byte(p.List + " " + strconv.FormatInt(p.At, 10) + " " + p.ID))
}

// ParseCursor reads exactly what Cursor writes for the same list.
func ParseCursor(list, s string) (Place, error) {
	bad := errkind.Bad("cursor", s, "a cursor that an earlier page of this list gave")
	const most = 200
	if len(s) > most {
		return Place{}, bad
	}
	text, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return Place{}, bad
	}
	part := strings.SplitN(string(text), " ", 3)
	if len(part) != 3 || part[0] != list {
		return Place{}, bad
	}
	at, err := strconv.ParseInt(part[1], 10, 64)
	if p := (Place{List: list, At: at, ID: part[2]}); err == nil && p.Cursor() == s {
		return p, nil
	}
	return Place{}, bad
}

// A Page says which part of a list to return. Lists are newest first.
type Page struct {
	// Limit is the most to return; 0 for DefaultLimit, at most MaxLimit.
	Limit int
	// Cursor continues where an earlier page ended; empty for the first one. It
	// only names a place: the filter counts anew on every page.
	Cursor string
}

// The limits of a page.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// Most returns the number of items that p asks for.
func (p Page) Most() (int, error) {
	if p.Limit < 0 || p.Limit > MaxLimit {
		return 0, errkind.Bad("limit", strconv.Itoa(p.Limit), "a number from 1 to "+strconv.Itoa(MaxLimit))
	}
	if p.Limit == 0 {
		return DefaultLimit, nil
	}
	return p.Limit, nil
}

// A Where is the condition of a query that is being put together.
type Where struct {
	conditions []string
	args       []any
}

// And adds a condition in which each ? stands for the next argument.
func (w *Where) And(condition string, args ...any) {
	for _, a := range args {
		w.args = append(w.args, a)
		condition = strings.Replace(condition, "?", "$"+strconv.Itoa(len(w.args)), 1)
	}
	w.conditions = append(w.conditions, condition)
}

// In adds a condition in which the one ? stands for a list of values: a nil list
// asks for nothing, and an empty one for what does not exist.
func In[S ~string](w *Where, condition string, values []S) {
	if values == nil {
		return
	}
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = string(v)
	}
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(args)), ", ")
	w.And(strings.Replace(condition, "?", marks, 1), args...)
}

// Principal adds a condition about an issuer and a subject, unless p is nobody.
func Principal(w *Where, condition string, p access.Principal) {
	if p.Issuer != "" || p.Subject != "" {
		w.And(condition, p.Issuer, p.Subject)
	}
}

// String returns the condition with its WHERE, or nothing.
func (w *Where) String() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conditions, " AND ")
}

// Args returns the arguments, in order.
func (w *Where) Args() []any { return w.args }

// Needle returns a pattern for LIKE … ESCAPE '\' that finds s inside a string of
// a JSON text; false if databases do not agree about the case of its letters.
func Needle(s string) (pattern string, ok bool) {
	text, err := json.Marshal(s)
	if err != nil || slices.ContainsFunc([]byte(s), func(b byte) bool { return b >= 0x80 }) {
		return "%", false
	}
	inner := strings.TrimSuffix(strings.TrimPrefix(string(text), `"`), `"`)
	return "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(inner) + "%", true
}
