package api

import "math"

// The events of the activity stream. The id of a record's event is its index;
// whoever comes back says it in the header Last-Event-ID and gets what follows.
const (
	// RecordEvent carries a Record.
	RecordEvent = "record"
	// PlaceEvent carries a Place: everything up to it was looked at, whether or
	// not it was shown.
	PlaceEvent = "place"
	// EndEvent carries a Problem and is the last one: the caller's right to see
	// the activity has ended.
	EndEvent = "end"
)

// FromNow is behind every index: a follower who starts there sees only what is
// yet to come.
const FromNow = math.MinInt64

// A Place is how far a stream has come.
type Place struct {
	Index int64 `json:"index"`
}
