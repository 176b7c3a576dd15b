package estate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/sesame-access/sesame/internal/errkind"
)

const (
	maxPage  = 64 << 20 // bytes
	tryTime  = time.Minute
	mostTry  = 5 // of a call that fails without being refused
	firstGap = time.Second
	mostSaid = 300 // of a cloud's message, in bytes
)

// A refusal is an answer that is not the one that was asked for.
type refusal struct {
	status        int
	code, message string
	after         time.Duration // before which there is no use in asking again; 0 if that was not said
}

func (r *refusal) Error() string {
	text := strconv.Itoa(r.status)
	if r.code != "" {
		text += " " + errkind.Shorten(r.code)
	}
	if r.message != "" {
		// Long enough for the action that somebody may not do.
		text += ": " + strconv.Quote(strings.ToValidUTF8(r.message[:min(len(r.message), mostSaid)], ""))
	}
	return text
}

// again reports whether the same call may be answered later.
func (r *refusal) again() bool {
	return r.status == http.StatusTooManyRequests || r.status == http.StatusRequestTimeout || r.status >= http.StatusInternalServerError
}

// A request is one call: a POST if it has a body.
type request struct {
	subscription, address string
	body                  any
}

func (q request) method() string {
	if q.body != nil {
		return http.MethodPost
	}
	return http.MethodGet
}

// unregistered reports whether a subscription has nothing to do with a resource
// provider, and so has nothing of it: one that has resources cannot be unregistered.
// (learn.microsoft.com: Azure resource providers and types.)
func unregistered(err error) bool {
	no, told := errors.AsType[*refusal](err)
	return told && no.status == http.StatusConflict && no.code == "MissingSubscriptionRegistration"
}

// final reports whether the SDK says that there is no use in trying again: there is no
// token to be had.
func final(err error) bool {
	_, is := errors.AsType[interface {
		error
		NonRetriable()
	}](err)
	return is
}

// ask makes a call until it is answered, for as long as there is patience. All that
// call in the same subscription wait together.
func (r *Reader) ask(ctx context.Context, q request) ([]byte, error) {
	p := r.paceOf(strings.ToLower(q.subscription) + " " + q.method())
	until := time.Now().Add(r.config.Patience)
	gap := firstGap
	for try := 1; ; try++ {
		if err := r.queue(ctx, p, until); err != nil {
			return nil, err
		}
		text, header, err := r.try(ctx, q)
		<-r.line
		p.hear(header)
		if gone := ctx.Err(); gone != nil || err == nil {
			return text, gone
		}
		no, told := errors.AsType[*refusal](err)
		if final(err) || told && !no.again() || try >= mostTry && !(told && no.after > 0) {
			return nil, err
		}
		wait := gap
		if gap *= 2; told && no.after > 0 {
			wait = no.after
			p.hold(wait, err)
		}
		if time.Now().Add(wait).After(until) {
			return nil, err
		}
		if err := pause(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// queue returns when a call may be made, and has a place in the line for it.
func (r *Reader) queue(ctx context.Context, p *pace, until time.Time) error {
	for {
		if err := p.wait(ctx, until); err != nil {
			return err
		}
		select {
		case r.line <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		if !p.holds() {
			return nil
		}
		<-r.line // others need not wait for that
	}
}

// try makes a call once.
func (r *Reader) try(ctx context.Context, q request) ([]byte, http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	req, err := runtime.NewRequest(ctx, q.method(), q.address)
	if err != nil {
		return nil, nil, fmt.Errorf("make a call: %w", err)
	}
	if q.body != nil {
		if err := runtime.MarshalAsJSON(req, q.body); err != nil {
			return nil, nil, fmt.Errorf("make a call: %w", err)
		}
	}
	req.Raw().Header.Set("Accept", "application/json")
	runtime.SkipBodyDownload(req) // it is read here, up to a limit
	answer, err := r.client.Pipeline().Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("call Azure: %w", err)
	}
	defer func() { _ = answer.Body.Close() }() // it was read, or nobody wants it
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxPage+1))
	switch {
	case err != nil:
		return nil, answer.Header, fmt.Errorf("read Azure's answer: %w", err)
	case len(text) > maxPage:
		return nil, answer.Header, &refusal{status: http.StatusOK, message: fmt.Sprintf("a page of more than %d bytes", maxPage)}
	case !runtime.HasStatusCode(answer, http.StatusOK):
		return nil, answer.Header, refused(answer, text)
	}
	return text, answer.Header, nil
}

// refused reads an answer that says no.
func refused(answer *http.Response, text []byte) *refusal {
	var d struct {
		Error struct{ Code, Message string }
	}
	_ = json.Unmarshal(text, &d) // a proxy's answer has no code
	no := &refusal{status: answer.StatusCode, code: d.Error.Code, message: d.Error.Message}
	said := answer.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(said); err == nil && seconds > 0 {
		no.after = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(said); err == nil {
		no.after = max(0, time.Until(at))
	}
	return no
}

// address returns where something is asked for.
func (r *Reader) address(path, version string, query ...string) string {
	values := url.Values{"api-version": {version}}
	for i := 0; i+1 < len(query); i += 2 {
		values.Set(query[i], query[i+1])
	}
	return runtime.JoinPaths(r.client.Endpoint(), (&url.URL{Path: path}).EscapedPath()) + "?" + values.Encode()
}

// here returns the address of a next page, if it is at the endpoint: the token goes
// nowhere else.
func (r *Reader) here(link string) (string, error) {
	link, err := runtime.EncodeQueryParams(link)
	if err != nil {
		return "", fmt.Errorf("read the address of the next page: %w", err)
	}
	next, err := url.Parse(link)
	if err != nil {
		return "", fmt.Errorf("read the address of the next page: %w", err)
	}
	own, err := url.Parse(r.client.Endpoint())
	if err != nil {
		return "", fmt.Errorf("read the endpoint: %w", err)
	}
	if next.Scheme != own.Scheme || !strings.EqualFold(next.Hostname(), own.Hostname()) || port(next) != port(own) || next.User != nil {
		return "", fmt.Errorf("the next page is said to be at %s, which is not Azure Resource Manager", errkind.Quote(next.Host))
	}
	return link, nil
}

func port(u *url.URL) string {
	if u.Port() == "" && u.Scheme == "https" {
		return "443"
	}
	return u.Port()
}

// paceOf returns the pace of calls that are counted together.
func (r *Reader) paceOf(name string) *pace {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.paces[name] == nil {
		r.paces[name] = &pace{}
	}
	return r.paces[name]
}
