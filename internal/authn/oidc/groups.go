package oidc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/sesame-access/sesame/internal/access"
)

// mostGroups is how many groups somebody may be in.
const mostGroups = 20_000

// groupsOf returns the groups of whom c is about, each as ISSUER#GROUP, sorted.
func (i *Issuer) groupsOf(ctx context.Context, c *claims, now time.Time) ([]string, error) {
	if i.cfg.Groups == "" {
		return nil, nil
	}
	var list audience
	if text, ok := c.all[i.cfg.Groups]; ok {
		if json.Unmarshal(text, &list) != nil {
			return nil, i.refused("the claim %s is no list of groups", i.cfg.Groups)
		}
	} else if c.Elsewhere.Groups != "" || bool(c.HasGroups) {
		var err error
		if list, err = i.overflow(ctx, c.OID, now); err != nil {
			return nil, err
		}
	}
	if len(list) > mostGroups {
		return nil, i.refused("it lists %d groups, and may list %d", len(list), mostGroups)
	}
	var out []string
	for _, g := range list {
		if isName(g) {
			out = append(out, access.GroupName(i.cfg.URL, g))
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// overflow asks Microsoft Graph for the groups of a user, nested ones too. Where
// the token says to ask is not looked at.
func (i *Issuer) overflow(ctx context.Context, oid string, now time.Time) (audience, error) {
	if i.cfg.Graph == "" || i.secret == "" || !isName(oid) {
		return nil, i.refused("it left the groups out because they are too many, and graph and secret_file do not say how to ask for them")
	}
	if list, ok := i.groups.get(oid, now); ok {
		return list, nil
	}
	list, err := i.askGraph(ctx, oid)
	if err != nil {
		return nil, i.unreachable(fmt.Errorf("ask for groups: %w", err))
	}
	i.groups.put(oid, list, now)
	return list, nil
}

func (i *Issuer) askGraph(ctx context.Context, oid string) (audience, error) {
	d, err := i.find(ctx)
	if err != nil {
		return nil, err
	}
	graph, err := url.Parse(i.cfg.Graph)
	if err != nil {
		return nil, err
	}
	app := clientcredentials.Config{
		ClientID: i.cfg.Client, ClientSecret: i.secret, TokenURL: d.endpoint.TokenURL, AuthStyle: d.endpoint.AuthStyle,
		Scopes: []string{graph.Scheme + "://" + graph.Host + "/.default"}, EndpointParams: nil,
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, i.client)
	target := graph.JoinPath("users", oid, "getMemberObjects").String()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader([]byte(`{"securityEnabledOnly":false}`)))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := app.Client(ctx).Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	var answer struct {
		Value []string `json:"value"`
		Next  string   `json:"@odata.nextLink"`
	}
	switch err := json.NewDecoder(resp.Body).Decode(&answer); {
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("answered %s", resp.Status)
	case err != nil:
		return nil, err
	case answer.Next != "":
		return nil, errors.New("the list goes on, and half of it is not enough")
	}
	return answer.Value, nil
}

// groupCache remembers groups for a while, so that not every request of a client
// with a token asks for them.
type groupCache struct {
	mu   sync.Mutex
	held map[string]cached
}

type cached struct {
	groups audience
	until  time.Time
}

// How long groups are remembered, and of how many.
const (
	groupsLife = time.Minute
	groupsMost = 10_000
)

func newGroupCache() *groupCache { return &groupCache{mu: sync.Mutex{}, held: map[string]cached{}} }

func (g *groupCache) get(who string, now time.Time) (audience, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, ok := g.held[who]
	return c.groups, ok && now.Before(c.until)
}

func (g *groupCache) put(who string, groups audience, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.held) >= groupsMost {
		clear(g.held)
	}
	g.held[who] = cached{groups: groups, until: now.Add(groupsLife)}
}
