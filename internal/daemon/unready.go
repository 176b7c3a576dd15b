package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/errkind"
)

// A bystander answers while the database cannot be opened: that the process
// lives, and why it is not ready. Everything else it refuses.
type bystander struct {
	srv     *http.Server
	running sync.WaitGroup
	why     atomic.Pointer[string]
}

// standBy answers on the listeners until end.
func standBy(ctx context.Context, listeners []net.Listener, why error, log *slog.Logger) *bystander {
	const headerTime = 5 * time.Second
	b := &bystander{srv: nil, running: sync.WaitGroup{}, why: atomic.Pointer[string]{}}
	b.say(why)
	b.srv = &http.Server{
		Handler: b, ReadHeaderTimeout: headerTime, ReadTimeout: headerTime, WriteTimeout: headerTime,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	for _, l := range listeners {
		b.running.Go(func() {
			if err := b.srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				// Closing goes on without.
				log.LogAttrs(context.WithoutCancel(ctx), slog.LevelError, "nobody can be answered", slog.Any("error", err))
			}
		})
	}
	return b
}

// say changes the reason. Who asks is not known, so it is said in general.
func (b *bystander) say(why error) {
	text := "the database cannot be opened; closing goes on"
	if errkind.Of(why) == errkind.Unavailable {
		text += ": " + errkind.Public(why)
	}
	b.why.Store(&text)
}

// end stops answering, closes the listeners, and waits.
func (b *bystander) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	err := b.srv.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, b.srv.Close())
	}
	b.running.Wait()
	return err
}

// endTime is for requests that are being answered at the end.
const endTime = 5 * time.Second

// ServeHTTP answers everybody the same.
func (b *bystander) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, media := http.StatusServiceUnavailable, "application/json"
	var v any = api.Health{Ready: false, Reasons: []string{*b.why.Load()}}
	switch r.URL.Path {
	case "/readyz", "/v1/health":
	case "/healthz":
		status, v = http.StatusOK, api.Health{Ready: true, Reasons: nil}
	default:
		media, v = api.ProblemType, api.ProblemOf(errkind.New(errkind.Unavailable, "%s", *b.why.Load()))
	}
	text, err := api.Encode(v)
	if err != nil {
		panic(err) // these types hold nothing that JSON cannot
	}
	w.Header().Set("Content-Type", media)
	w.WriteHeader(status)
	_, _ = w.Write(text) // nobody is left to be told
}
