package ec2

import (
	"bytes"
	"context"
	"io"
	"net/http"
)

// Client returns an HTTP client that calls the simulator without a network, so
// that it can be used in a synctest bubble. Whatever the endpoint, the call ends
// up here. A connection that breaks is io.ErrUnexpectedEOF.
func (s *Simulator) Client() *http.Client { return &http.Client{Transport: transport{s}} }

type transport struct{ sim *Simulator }

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(r *http.Request) (reply *http.Response, err error) {
	defer func() {
		switch why := recover(); {
		case why == http.ErrAbortHandler: //nolint:errorlint // it is the very value
			if reply, err = nil, r.Context().Err(); err == nil {
				err = io.ErrUnexpectedEOF
			}
		case why != nil:
			panic(why)
		}
	}()
	in := r.Clone(context.WithoutCancel(r.Context())).WithContext(r.Context())
	in.RequestURI = r.URL.RequestURI()
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	out := &answer{header: http.Header{}, status: 0, body: bytes.Buffer{}}
	t.sim.ServeHTTP(out, in)
	if in.Body != nil {
		_ = in.Body.Close()
	}
	return &http.Response{
		Status: http.StatusText(out.status), StatusCode: out.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: out.header, Body: io.NopCloser(&out.body), ContentLength: int64(out.body.Len()), Request: r,
	}, nil
}

// An answer is written into memory.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) { a.status = status }

func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.body.Write(b)
}
