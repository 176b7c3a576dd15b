package estate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"

	"github.com/sesame-access/sesame/internal/provider/azure/path"
)

// What a configuration that says nothing else gets.
const (
	concurrent = 8
	patience   = 5 * time.Minute
)

// Config says what is read, and as whom.
type Config struct {
	Credential azcore.TokenCredential
	// Options have the cloud and the transport. Their Retry is not used: what is
	// refused is asked for again here.
	Options arm.ClientOptions

	// Subscriptions are read by id, and those below ManagementGroups, at any depth.
	Subscriptions, ManagementGroups []string

	// Instance is whose groups of Sesame's own are looked for; none without one. With
	// OwnGroups the estate is shown as if there were one wherever one may be made.
	Instance  string
	OwnGroups bool

	// Known is what no document says: service tags, what gateways lead to.
	Known path.Known

	// Concurrent is how many calls are under way at a time; 8 if it is 0.
	Concurrent int
	// Patience is how long one page is asked for until it counts as unreadable;
	// 5 minutes if it is 0. It should be shorter than what is left of ctx: when
	// that ends there is no inventory at all.
	Patience time.Duration
	// Progress, if there is one, is told after every page, one call at a time.
	Progress func(Progress)
}

// Progress is how far a reading is.
type Progress struct {
	Reading   string // what the last page is of
	Pages     int    // read so far
	Documents int
}

// A Reader reads the same estate again and again. Its methods may be called
// concurrently; one reading waits for the other.
type Reader struct {
	config Config
	client *arm.Client

	turn chan struct{} // has room for who reads
	line chan struct{} // has room for calls that are under way

	mu       sync.Mutex
	paces    map[string]*pace
	progress Progress

	// Of earlier readings; who reads has them.
	last  map[string]map[string]document // what was in a list, by its name
	names map[string]string              // how the ids of machines are spelled, by id in lower case
}

// New returns a reader. It makes no call.
func New(c Config) (*Reader, error) {
	if len(c.Subscriptions)+len(c.ManagementGroups) == 0 {
		return nil, errors.New("no subscription and no management group is in scope")
	}
	for _, id := range slices.Concat(c.Subscriptions, c.ManagementGroups) {
		if id == "" || strings.ContainsAny(id, "/?#%") {
			return nil, fmt.Errorf("%q is neither the id of a subscription nor the name of a management group", id)
		}
	}
	if c.Concurrent <= 0 {
		c.Concurrent = concurrent
	}
	if c.Patience <= 0 {
		c.Patience = patience
	}
	c.Options.Retry.MaxRetries = -1
	c.Options.DisableRPRegistration = true
	client, err := arm.NewClient("sesame/estate", "v1.0.0", c.Credential, &c.Options)
	if err != nil {
		return nil, fmt.Errorf("make a client of Azure Resource Manager: %w", err)
	}
	r := &Reader{
		config: c, client: client, turn: make(chan struct{}, 1), line: make(chan struct{}, c.Concurrent), paces: map[string]*pace{},
		last: map[string]map[string]document{}, names: map[string]string{},
	}
	return r, nil
}

// Read reads the estate. What could not be read is said in it. The error is for when
// nothing is known, and when ctx is done.
func (r *Reader) Read(ctx context.Context) (*Estate, error) {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r.progress = Progress{}
	k := newShelf()
	scope, err := r.scope(ctx, k)
	if err != nil {
		return nil, err
	}
	var lists []list
	for _, subscription := range scope {
		lists = append(lists, r.listsOf(subscription)...)
	}
	for asked := map[string]bool{}; len(lists) > 0; lists = r.more(sorted(k.documents), asked) {
		for _, x := range r.all(ctx, lists) {
			r.keep(k, x)
		}
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("read the inventory: %w", err)
		}
		for id := range k.documents {
			asked[id] = true
		}
	}
	maps.DeleteFunc(r.last, func(name string, _ map[string]document) bool { return !k.asked[name] })
	return r.join(k)
}

// scope returns the subscriptions to read, sorted.
func (r *Reader) scope(ctx context.Context, k *shelf) ([]string, error) {
	found := map[string]bool{}
	for _, id := range r.config.Subscriptions {
		found[strings.ToLower(id)] = true
	}
	var lists []list
	for _, name := range r.config.ManagementGroups {
		lists = append(lists, list{
			call: "the subscriptions below management group " + name, use: scoping,
			first: request{address: r.address("/providers/"+groupType+"/"+name+"/descendants", groupsVersion)},
		})
	}
	for _, x := range r.all(ctx, lists) {
		r.keep(k, x)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read the inventory: %w", err)
	}
	for _, l := range lists {
		for _, d := range r.last[l.name()] {
			if id := subscriptionOf(d.id); id != "" {
				found[strings.ToLower(id)] = true
			}
		}
	}
	if len(found) == 0 && len(k.gaps) > 0 {
		return nil, fmt.Errorf("find the subscriptions: %w", k.gaps[0].err)
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// all reads lists beside each other.
func (r *Reader) all(ctx context.Context, lists []list) []reply {
	out := make([]reply, len(lists))
	var all sync.WaitGroup
	for i, l := range lists {
		all.Go(func() { out[i] = r.read(ctx, l) })
	}
	all.Wait()
	return out
}

// tell says how far the reading is.
func (r *Reader) tell(reading string, documents int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress.Reading = reading
	r.progress.Pages++
	r.progress.Documents += documents
	if r.config.Progress != nil {
		r.config.Progress(r.progress)
	}
}
