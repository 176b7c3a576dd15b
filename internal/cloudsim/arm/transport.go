package arm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// Client returns an HTTP client whose calls reach the simulator without a
// network, so that a test can run in a bubble of testing/synctest. The host of
// the URL does not matter.
func (s *Simulator) Client() *http.Client {
	return &http.Client{Transport: InProcess(s), CheckRedirect: nil, Jar: nil, Timeout: time.Minute}
}

// InProcess returns a transport that calls h.
func InProcess(h http.Handler) http.RoundTripper { return inProcess{handler: h} }

// An inProcess transport calls its handler.
type inProcess struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := &recorder{mu: sync.Mutex{}, header: http.Header{}, status: 0, body: bytes.Buffer{}}
	in := r.Clone(r.Context())
	in.Host = r.URL.Host
	done := make(chan error, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				err, ok := v.(error)
				if !ok || !errors.Is(err, http.ErrAbortHandler) {
					done <- fmt.Errorf("the simulator panicked: %v", v)
					return
				}
				done <- io.ErrUnexpectedEOF
			}
		}()
		t.handler.ServeHTTP(w, in)
		done <- nil
	}()
	select {
	case err := <-done:
		if err != nil {
			return nil, err
		}
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(bytes.NewReader(w.body.Bytes())), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

// A recorder keeps an answer.
type recorder struct {
	mu     sync.Mutex
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *recorder) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status == 0 {
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.body.Write(p)
}
