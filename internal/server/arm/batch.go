package arm

import (
	"bytes"
	"context"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/arm"
	"github.com/sesame-access/sesame/internal/errkind"
)

// mostBatched is how many requests a batch holds at most, which is Azure's.
const mostBatched = 20

// A batched is one request of a batch.
type batched struct {
	Name    string         `json:"name,omitzero"`
	Method  string         `json:"httpMethod"`
	URL     string         `json:"url,omitzero"`
	Target  string         `json:"relativeUrl,omitzero"`
	Content jsontext.Value `json:"content,omitzero"`
	Details jsontext.Value `json:"requestHeaderDetails,omitzero"`
	Headers jsontext.Value `json:"headers,omitzero"`
}

// A batchedAnswer is what one request of a batch is answered with.
type batchedAnswer struct {
	Name    string            `json:"name,omitzero"`
	Status  int               `json:"httpStatusCode"`
	Headers map[string]string `json:"headers"`
	Content any               `json:"content,omitzero"`
	Length  int               `json:"contentLength"`
}

// batch answers several requests, one after the other. Each is a request of its own:
// it is counted, authorised and answered as if it had come alone. What needs no
// token, and another batch, has no place in one.
func (f *Face) batch(ctx context.Context, c *call) (answer, error) {
	var in struct {
		Requests []batched `json:"requests"`
	}
	if err := arm.Decode(c.body, &in); err != nil {
		return answer{}, err
	}
	if n := len(in.Requests); n == 0 || n > mostBatched {
		return answer{}, errkind.Wrong("requests", itoa(n), "a list of 1 to 20 requests", "it has %d entries, and may have 1 to %d", n, mostBatched)
	}
	out := struct {
		Responses []batchedAnswer `json:"responses"`
	}{}
	for _, one := range in.Requests {
		a, err := f.member(ctx, c, one)
		if err != nil {
			a = failure(err, api.ProblemOf(err), origin(c.request))
		}
		text, err := arm.Encode(a.body)
		if err != nil {
			return answer{}, err
		}
		answered := batchedAnswer{Name: one.Name, Status: a.status, Headers: map[string]string{}, Content: a.body, Length: len(text)}
		for name := range a.header {
			answered.Headers[name] = a.header.Get(name)
		}
		out.Responses = append(out.Responses, answered)
	}
	return ok(out), nil
}

// member answers one request of a batch.
func (f *Face) member(ctx context.Context, c *call, in batched) (answer, error) {
	target, err := url.Parse(in.URL)
	if in.URL == "" {
		target, err = url.Parse(in.Target)
	}
	if err != nil || target.Host != "" && target.Host != c.request.Host || !strings.HasPrefix(target.Path, "/") || target.Fragment != "" || target.User != nil {
		return answer{}, errkind.Bad("url", in.URL, "a path of this server with its query")
	}
	r := c.request.Clone(ctx)
	r.Method, r.URL = strings.ToUpper(in.Method), target
	r.Header.Del("If-Match")
	r.Header.Del("If-None-Match")
	r.Header.Del(agreeHeader)
	one, err := f.call(r)
	if err != nil {
		return answer{}, err
	}
	if one.route.public || one.route.path == c.route.path {
		return answer{}, errkind.Bad("url", in.URL, "something that can be part of a batch")
	}
	one.who = c.who
	if one.route.body {
		one.body = bytes.Clone(in.Content)
	}
	return f.answer(ctx, one)
}
