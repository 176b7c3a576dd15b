package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/provider/azure/meter"
)

// How often an operation is looked at when Azure does not say; each time a little
// later. What takes longer than the most is the next pass's business.
const (
	firstLook = 250 * time.Millisecond
	mostLook  = 5 * time.Second
	mostTime  = 10 * time.Minute
)

// errLost is the outcome of a write that was accepted and whose end was not seen.
var errLost = errors.New("the outcome is not known")

// An operation is a write that was accepted.
type operation struct {
	call

	result bool // link is where the result will be, and not how it is going
	group  bool // there is no link, and the group says how it is going
}

// operationOf returns the operation that a write has started, and false when it has
// come to its end with the answer. (learn.microsoft.com: track asynchronous Azure
// operations.)
func operationOf(c call, a answer) (operation, bool) {
	var shown struct {
		Properties struct{ ProvisioningState string }
	}
	_ = json.Unmarshal(a.Body, &shown) // a deletion answers nothing
	o := operation{call: call{client: c.client, method: http.MethodGet, of: c.of}}
	status, result := a.header.Get("Azure-AsyncOperation"), a.header.Get("Location")
	switch state := shown.Properties.ProvisioningState; {
	case status != "":
		o.link = status
	case a.Status == http.StatusAccepted && result != "":
		o.link, o.result = result, true
	case a.Status == http.StatusAccepted || state != "" && !ended(state):
		o.group = true
	default:
		return operation{}, false
	}
	return o, true
}

func ended(state string) bool {
	return strings.EqualFold(state, "Succeeded") || strings.EqualFold(state, "Failed") || strings.EqualFold(state, "Canceled")
}

// follow looks at an operation until it has come to its end, for the first time when
// one like it takes about so long: looking costs reads, which Azure counts. Who cannot
// look keeps trying: the operation goes on.
func (p *Provider) follow(ctx context.Context, o operation, first answer, about time.Duration) error {
	if o.link != "" && !trusted(o.client, o.link) {
		return fmt.Errorf("the operation is said to be at %q, which is not Azure Resource Manager: %w", o.link, errLost)
	}
	ctx, cancel := context.WithTimeout(ctx, mostTime)
	defer cancel()
	asked := first.After(time.Now())
	for gap, wait := firstLook, max(firstLook, about); ; gap, wait = min(gap+gap/4, mostLook), gap {
		if err := meter.Pause(ctx, max(asked, wait)); err != nil {
			return fmt.Errorf("follow the operation: %w: %w", err, errLost)
		}
		a, err := p.ask(ctx, o.call)
		if asked = a.After(time.Now()); err != nil || a.Status == http.StatusTooManyRequests || a.Status >= http.StatusInternalServerError {
			continue
		}
		if a.Status/100 != 2 {
			return fmt.Errorf("follow the operation: %s: %w", a, errLost)
		}
		if done, err := o.judge(a); done {
			return err
		}
	}
}

// judge reports whether a says that the operation has come to its end, and to which.
func (o operation) judge(a answer) (done bool, err error) {
	switch {
	case o.result:
		return a.Status != http.StatusAccepted, nil
	case o.group:
		var shown struct {
			Properties struct{ ProvisioningState string }
		}
		if err := json.Unmarshal(a.Body, &shown); err != nil {
			return true, fmt.Errorf("read how the group is: %w: %w", err, errLost)
		}
		state := shown.Properties.ProvisioningState
		if strings.EqualFold(state, "Succeeded") || !ended(state) {
			return ended(state), nil
		}
		return true, fmt.Errorf("the group is %s: %w", state, errLost)
	case a.Pending():
		return false, nil
	}
	if err := a.Err(time.Now()); err != nil {
		return true, fmt.Errorf("the operation has ended: %w", err)
	}
	return true, nil
}
