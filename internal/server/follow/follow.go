// Package follow streams the activity to a reader, as it happens: first what they
// have missed, then every record when it is saved, and now and again a sign that the
// stream is alive. What a reader may see is decided anew whenever the rules change,
// and that they are still known at every heartbeat; when either is no more, the last
// event says so.
package follow

import (
	"context"
	"net/http"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/server/front"
	"github.com/sesame-access/sesame/internal/store"
)

// Heartbeat is how often a stream says that it is alive, and the longest time
// that it goes on after its reader lost the right to it.
const Heartbeat = 15 * time.Second

// A Feed is where records come from.
type Feed interface {
	// Changed returns a channel that is closed at the next commit.
	Changed() <-chan struct{}
	// Tree returns the log as it is, with how many records it has.
	Tree(ctx context.Context) (tlog.Tree, error)
	Rules(ctx context.Context) (store.Rules, error)
	// Next returns records behind an index, and how far it has looked.
	Next(ctx context.Context, f store.ActivityFilter, after int64) (entries []store.Entry, last int64, err error)
}

// A Follower is one event stream.
type Follower struct {
	Feed     Feed
	Stopping <-chan struct{} // closed when the server stops
	// Known fails when the reader is not known any more.
	Known func() error
	// Filter returns what the reader asked for and may see by the rules; it fails
	// when they may see nothing.
	Filter func(rules store.Rules) (store.ActivityFilter, error)

	out     front.Stream
	after   int64 // the last index that was looked at
	said    int64 // the last index that the reader was told
	version int64 // of the rules that filter was made by
	filter  store.ActivityFilter
}

// RecordOf returns e as it goes over the wire.
func RecordOf(e store.Entry) api.Record { return api.RecordOf(e.Index, e.Record, e.Erased) }

// Run answers r with the stream until something ends it. It fails only before the
// first byte; what ends it later is its last event.
func (f *Follower) Run(ctx context.Context, w *front.Recorder, r *http.Request) error {
	if err := f.begin(ctx, r); err != nil {
		return err
	}
	f.out = w.Stream()
	if err := f.run(ctx); err != nil && ctx.Err() == nil {
		f.out.End(err)
	}
	return nil
}

// begin reads what is asked for, and where the stream is to go on.
func (f *Follower) begin(ctx context.Context, r *http.Request) error {
	if err := f.look(ctx); err != nil {
		return err
	}
	tree, err := f.Feed.Tree(ctx)
	if err != nil {
		return err
	}
	f.after = tree.N - 1
	last, said, err := front.LastEventID(r)
	if said {
		f.after = min(last, f.after)
	}
	return err
}

// run sends what comes until something ends it.
func (f *Follower) run(ctx context.Context) error {
	if err := f.place(); err != nil {
		return err
	}
	ticker := time.NewTicker(Heartbeat)
	defer ticker.Stop()
	for {
		changed := f.Feed.Changed()
		if err := f.look(ctx); err != nil {
			return err
		}
		if err := f.send(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.Stopping:
			return errkind.New(errkind.Unavailable, "the server stops; connect again")
		case <-changed:
		case <-ticker.C:
			if err := f.beat(); err != nil {
				return err
			}
		}
	}
}

// look decides anew what the reader may see when the rules have changed, which
// they do whenever a role or a token ends.
func (f *Follower) look(ctx context.Context) error {
	rules, err := f.Feed.Rules(ctx)
	if err != nil {
		return errkind.Wrap(errkind.Unavailable, err, "the rules cannot be read, so nothing can be shown; closing goes on")
	}
	if rules.Version == f.version {
		return nil
	}
	if f.version != 0 {
		if err := f.Known(); err != nil {
			return err
		}
	}
	f.version = rules.Version
	f.filter, err = f.Filter(rules)
	return err
}

// send sends every record that there is by now.
func (f *Follower) send(ctx context.Context) error {
	for {
		entries, after, err := f.Feed.Next(ctx, f.filter, f.after)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := f.out.Event(api.RecordEvent, e.Index, RecordOf(e)); err != nil {
				return err
			}
			f.said = e.Index
		}
		if f.after = after; len(entries) == 0 {
			return nil
		}
	}
}

// beat shows that the stream is alive, how far it has come, and that its reader
// is still known: a token can expire without a change of the rules.
func (f *Follower) beat() error {
	if err := f.Known(); err != nil {
		return err
	}
	if f.said != f.after {
		return f.place()
	}
	return f.out.Beat()
}

// place tells the reader how far the stream has come.
func (f *Follower) place() error {
	f.said = f.after
	return f.out.Event(api.PlaceEvent, f.after, api.Place{Index: f.after})
}
