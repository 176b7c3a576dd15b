// Package history remembers findings from one scan to the next, and says what is
// new, what was fixed, and what had been fixed and is back.
//
// Nothing is fixed by not being able to look: what was unhealthy and is unknown now
// is still bad. What is not found any more, because its machine is gone, is fixed, but
// only where everything could be looked at.
package history

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/posture"
	"github.com/sesame-access/sesame/internal/reach/survey"
)

// A Key says which finding of one scan is which of another. The checks about one
// port are one key: a port that is open for another reason is still open.
type Key struct {
	VM    firewall.VMID
	Port  survey.Port
	Check posture.ID // posture.PortOpen for all five about a port
}

// KeyOf returns which finding f is.
func KeyOf(f posture.Finding) Key {
	k := Key{VM: f.VM, Port: f.Port, Check: f.Check}
	if k.Check.OfPort() {
		k.Check = posture.PortOpen
	}
	return k
}

func compareKeys(a, b Key) int {
	return cmp.Or(cmp.Compare(a.VM, b.VM), cmp.Compare(a.Port.Number, b.Port.Number), cmp.Compare(a.Port.Protocol, b.Port.Protocol), cmp.Compare(a.Check, b.Check))
}

// A Record is what is remembered of one finding.
type Record struct {
	Key     Key
	Verdict posture.Verdict
	Since   time.Time // of the first scan that gave this verdict
	// Fixed says that it was bad once and then was not: if it is bad again, that is a
	// relapse.
	Fixed bool
}

// Change is what became of a finding since the last scan.
type Change uint8

// The changes.
const (
	Same      Change = iota
	New              // bad, and was not there or was good
	Fixed            // good, or gone with its VM, and was bad
	Regressed        // bad, after it was fixed
)

// String returns the change's name.
func (c Change) String() string {
	switch c {
	case New:
		return "new"
	case Fixed:
		return "fixed"
	case Regressed:
		return "regressed"
	case Same:
	}
	return "same"
}

// A Trend is what changed between two scans, and how many findings of each check
// have each verdict now.
type Trend struct {
	Changes map[Key]Change // but for Same
	Counts  map[posture.ID]map[posture.Verdict]int
}

// Count returns how many findings changed that way.
func (t Trend) Count(c Change) (n int) {
	for _, x := range t.Changes {
		if x == c {
			n++
		}
	}
	return n
}

// Remember compares findings with what is remembered, and returns what is to be
// remembered from now on, sorted. What was bad and is not found any more is fixed, if
// the scan was complete; else it stays as it was. What was fixed is remembered as such
// for as long as keep, so that it can regress.
func Remember(before []Record, findings []posture.Finding, complete bool, now time.Time, keep time.Duration) (Trend, []Record) {
	t := Trend{Changes: map[Key]Change{}, Counts: map[posture.ID]map[posture.Verdict]int{}}
	past := make(map[Key]Record, len(before))
	for _, r := range before {
		past[r.Key] = r
	}
	after := make([]Record, 0, len(findings))
	for _, f := range findings {
		if t.Counts[f.Check] == nil {
			t.Counts[f.Check] = map[posture.Verdict]int{}
		}
		t.Counts[f.Check][f.Verdict]++
		k := KeyOf(f)
		r, known := past[k]
		delete(past, k)
		next, c := r.follow(f.Verdict, known, now)
		next.Key = k
		if c != Same {
			t.Changes[k] = c
		}
		after = append(after, next)
	}
	for k, r := range past {
		if !complete {
			after = append(after, r)
			continue
		}
		if r.Verdict >= posture.Unknown {
			t.Changes[k], r = Fixed, Record{Key: k, Verdict: posture.NotApplicable, Since: now, Fixed: true}
		}
		if r.Fixed && now.Sub(r.Since) < keep {
			after = append(after, r)
		}
	}
	slices.SortFunc(after, func(a, b Record) int { return compareKeys(a.Key, b.Key) })
	return t, after
}

// follow returns what r becomes with the next verdict.
func (r Record) follow(v posture.Verdict, known bool, now time.Time) (Record, Change) {
	switch {
	case known && r.Verdict == v, known && v == posture.Unknown && r.Verdict == posture.Unhealthy:
		return r, Same
	case !known:
		r = Record{Key: r.Key, Verdict: posture.NotApplicable, Since: now, Fixed: false}
	}
	was, is := r.Verdict >= posture.Unknown, v >= posture.Unknown
	r.Verdict, r.Since = v, now
	switch {
	case is && !was && r.Fixed:
		return r, Regressed
	case is && !was:
		return r, New
	case was && !is:
		r.Fixed = true
		return r, Fixed
	}
	return r, Same
}

// version is that of the text that Format writes.
const version = 1

// A text is what is kept between two scans.
type text struct {
	Version int      `json:"version"`
	Records []Record `json:"records"`
}

// Format writes records for Parse.
func Format(records []Record) ([]byte, error) {
	out, err := json.Marshal(text{Version: version, Records: records})
	if err != nil {
		return nil, fmt.Errorf("write the history: %w", err)
	}
	return append(out, '\n'), nil
}

// Parse reads what Format wrote.
func Parse(b []byte) ([]Record, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var t text
	if err := d.Decode(&t); err != nil {
		return nil, fmt.Errorf("read the history: %w", err)
	}
	if t.Version != version {
		return nil, fmt.Errorf("read the history: it is of version %d, and this program knows %d", t.Version, version)
	}
	return t.Records, nil
}
