package client

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/errkind"
)

// A Filter chooses records of the activity. Zero fields choose all.
type Filter struct {
	VM        string // id or name
	Principal string // subject, or issuer and subject as ISSUER#SUBJECT
	Kinds     []string
	Request   string
	Grant     string
	Since     time.Time // inclusive
	Until     time.Time // exclusive
	Text      string    // looked for everywhere in a record
	Cursor    string
	Limit     int
}

func (f Filter) values() url.Values {
	v := List{VM: f.VM, Principal: f.Principal, State: "", Cursor: f.Cursor, Limit: f.Limit}.values()
	for _, k := range f.Kinds {
		v.Add("kind", k)
	}
	set(v, "request", f.Request)
	set(v, "grant", f.Grant)
	set(v, "q", f.Text)
	if !f.Since.IsZero() {
		v.Set("since", f.Since.UTC().Format(time.RFC3339Nano))
	}
	if !f.Until.IsZero() {
		v.Set("until", f.Until.UTC().Format(time.RFC3339Nano))
	}
	return v
}

// Activity returns a page of the activity, newest first.
func (c *Client) Activity(ctx context.Context, f Filter) (api.Page[api.Record], error) {
	what := get("v1", "activity")
	what.query = f.values()
	return ask[api.Page[api.Record]](ctx, c, what)
}

const (
	lastPause = 10 * time.Second
	// silence is how long a stream may say nothing, heartbeats included, before
	// it counts as broken.
	silence = 45 * time.Second
	// longestEvent bounds one record.
	longestEvent = 1 << 20
)

// Follow calls each with every record that f chooses, in order and each once,
// beginning behind the given index: −1 for all, api.FromNow for what is yet to
// come. It connects again when the stream breaks off, and goes on where it was.
// It returns nil when ctx is done, and an error when the server will not let the
// caller see the activity (any more).
func (c *Client) Follow(ctx context.Context, f Filter, after int64, each func(api.Record)) error {
	pause := firstPause
	for ctx.Err() == nil {
		last := after
		if err := c.stream(ctx, f, &after, each); ctx.Err() == nil && final(err) {
			return err
		}
		if after != last {
			pause = firstPause
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		pause = min(2*pause, lastPause)
	}
	return nil
}

// final reports whether a stream that ended with err need not be tried again.
func final(err error) bool {
	return hopeless(err) && errkind.Of(err) != errkind.Exhausted
}

// stream follows one connection to its end. It moves after along.
func (c *Client) stream(ctx context.Context, f Filter, after *int64, each func(api.Record)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	what := get("v1", "activity", "stream")
	what.query = f.values()
	what.header = http.Header{"Accept": {"text/event-stream"}}
	if *after != api.FromNow {
		what.header.Set("Last-Event-ID", strconv.FormatInt(*after, 10))
	}
	watchdog := time.AfterFunc(silence, cancel)
	defer watchdog.Stop()
	resp, err := c.do(ctx, what)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, longestEvent)
	var data strings.Builder
	var event string
	for lines.Scan() {
		watchdog.Reset(silence)
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "data":
			data.WriteString(value)
		case "event":
			event = value
		case "": // the end of an event, or a comment
			if data.Len() == 0 || lines.Text() != "" {
				continue
			}
			if err := take(event, data.String(), after, each); err != nil {
				return err
			}
			data.Reset()
			event = ""
		}
	}
	if err := lines.Err(); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return errkind.Wrap(errkind.Unavailable, err, "the stream broke off")
	}
	return errkind.New(errkind.Unavailable, "the stream ended")
}

// take reads one event.
func take(event, data string, after *int64, each func(api.Record)) error {
	switch event {
	case api.RecordEvent:
		var r api.Record
		if err := answer([]byte(data), &r); err != nil {
			return err
		}
		if r.Index > *after {
			*after = r.Index
			each(r)
		}
	case api.PlaceEvent:
		var p api.Place
		if err := answer([]byte(data), &p); err != nil {
			return err
		}
		*after = max(*after, p.Index)
	case api.EndEvent:
		var p api.Problem
		if err := answer([]byte(data), &p); err != nil {
			return err
		}
		return p.Err()
	}
	return nil
}
