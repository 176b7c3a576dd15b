package azure

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"

	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/dialect"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
)

// nobodysTag is an entity tag that no resource has.
const nobodysTag = `W/"00000000-0000-0000-0000-000000000000"`

// refusesStale reports whether a write of the group by this identity is known to be
// refused when it names a stale entity tag. Where nobody has tried, it tries, with
// a write that changes nothing however it is taken.
func (w *writer) refusesStale(ctx context.Context, c *arm.Client) bool {
	if honoured, known := w.group.verdict(c); known {
		return honoured
	}
	body, err := w.impossible()
	if err != nil || w.before.Group.Busy() {
		return false
	}
	a, err := w.ask(ctx, call{
		client: c, method: http.MethodPut, of: w.snapshot.Firewall, body: body, header: http.Header{"If-Match": {nobodysTag}},
	})
	if err != nil {
		return false // to be tried another time
	}
	switch err := a.Err(time.Now()); {
	case errors.Is(err, provider.ErrConflict):
		w.group.judged(c, true)
		return true
	case errors.Is(err, provider.ErrRefused), err == nil:
		w.group.judged(c, false)
	}
	return false
}

// impossible returns the document as it was read with one rule more, which Azure
// refuses for its number. Should it ever take it, the rule is about nobody, and as
// one of ours it goes with the next plan.
func (w *writer) impossible() (string, error) {
	const noNumber = 1
	text, err := w.before.Group.Edit(dialect.Prefix(w.Keys.Instance), resource.Put(w.before.Nobody(noNumber).Rule))
	if err == nil && !json.Valid([]byte(text)) {
		err = errors.New("the document is no JSON")
	}
	return text, err
}
