package azure

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/azure/meter"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg"
)

const (
	// apiVersion is that of Microsoft.Network by which rules mean what package
	// resource reads.
	apiVersion = "2025-05-01"

	mostAnswer = 16 << 20 // bytes
	tryTime    = time.Minute
	callTime   = 30 * time.Second // from its turn on, with all that the SDK tries
)

// reads are tried again by the SDK, but not where there were too many calls: that all
// calls have to know, and the next try waits in line with them.
func reads() policy.RetryOptions {
	return policy.RetryOptions{
		MaxRetries: 3, TryTimeout: tryTime, RetryDelay: firstWait, MaxRetryDelay: patience,
		StatusCodes: []int{
			http.StatusRequestTimeout, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
		},
	}
}

// writes are tried once: only Azure's answer says whether one more does no harm.
func writes() policy.RetryOptions {
	return policy.RetryOptions{MaxRetries: -1, TryTimeout: tryTime}
}

// A call is one request to Azure Resource Manager.
type call struct {
	client *arm.Client
	method string
	of     firewall.ID // the group that it is about
	path   string      // behind the group's id
	link   string      // instead of the group's address: where an operation is
	header http.Header
	body   string
}

// An answer is what Azure said.
type answer struct {
	nsg.Answer

	header http.Header
	at     time.Time // Azure's own; zero if it did not say
	sent   time.Time // when the call was made, its wait for a turn not counted
}

// ask makes a call when it is its turn. Where Azure has said how long to wait, nobody
// calls before; where that is long, the error is a BusyError. Any error leaves open what became of the call.
func (p *Provider) ask(ctx context.Context, c call) (answer, error) {
	const most = 20 // times that a read stands in line
	for n := 1; ; n++ {
		a, err := p.try(ctx, c)
		wait := max(a.After(time.Now()), firstWait)
		if err != nil || c.method != http.MethodGet || a.Status != http.StatusTooManyRequests || n == most || wait > patience {
			return a, err
		}
		if err := meter.Pause(ctx, wait); err != nil {
			return a, err
		}
	}
}

// try makes a call once.
func (p *Provider) try(ctx context.Context, c call) (answer, error) {
	m, err := p.meterOf(c)
	if err != nil {
		return answer{}, err
	}
	if err := m.Turn(ctx); err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	retry := writes()
	if c.method == http.MethodGet {
		retry = reads()
	}
	req, err := c.request(policy.WithRetryOptions(ctx, retry))
	if err != nil {
		return answer{}, fmt.Errorf("make a call: %w", err)
	}
	sent := time.Now()
	got, err := c.client.Pipeline().Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("call Azure: %w", err)
	}
	defer func() { _ = got.Body.Close() }() // it was read, or nobody wants it
	text, err := io.ReadAll(io.LimitReader(got.Body, mostAnswer+1))
	switch {
	case err != nil:
		return answer{}, fmt.Errorf("read Azure's answer: %w", err)
	case len(text) > mostAnswer:
		return answer{}, fmt.Errorf("read Azure's answer: it has more than %d bytes", mostAnswer)
	}
	out := answer{header: got.Header, sent: sent}
	out.Deletes, out.Status, out.Body, out.RetryAfter = c.method == http.MethodDelete, got.StatusCode, text, got.Header.Get("Retry-After")
	if at, err := http.ParseTime(got.Header.Get("Date")); err == nil {
		out.at = at
	}
	m.Hear(out.Answer, out.header, time.Now())
	return out, nil
}

// request is c as the SDK takes it.
func (c call) request(ctx context.Context) (*policy.Request, error) {
	address := c.link
	if address == "" {
		address = runtime.JoinPaths(c.client.Endpoint(), (&url.URL{Path: string(c.of) + c.path}).EscapedPath()) + "?api-version=" + apiVersion
	}
	req, err := runtime.NewRequest(ctx, c.method, address)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Raw().Header, c.header)
	req.Raw().Header.Set("Accept", "application/json")
	runtime.SkipBodyDownload(req) // it is read here, up to a limit
	if c.body == "" {
		return req, nil
	}
	return req, req.SetBody(streaming.NopCloser(bytes.NewReader([]byte(c.body))), "application/json")
}

// trusted reports whether link is at the endpoint of a client: its token goes
// nowhere else.
func trusted(c *arm.Client, link string) bool {
	own, err1 := url.Parse(c.Endpoint())
	to, err2 := url.Parse(link)
	if err1 != nil || err2 != nil || to.User != nil {
		return false
	}
	return to.Scheme == own.Scheme && strings.EqualFold(to.Host, own.Host)
}
