package clouds_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2"
	"github.com/sesame-access/sesame/internal/config"
	"github.com/sesame-access/sesame/internal/daemon/clouds"
	"github.com/sesame-access/sesame/internal/firewall"
)

// simulated serves a fleet of instances, and returns a configuration for it.
func simulated(t *testing.T, around func(http.Handler) http.Handler) config.Config {
	t.Helper()
	sim, err := ec2.New(ec2.Config{Seed: 3, Unthrottled: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := sim.Fleet(ec2.DefaultRegion, 6, 3); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(around(sim))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", ec2.DefaultKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", ec2.DefaultSecret)
	t.Setenv("AWS_REGION", ec2.DefaultRegion)
	// The SDK closes a request's body when the answer is there. One that is quicker
	// than the sending loses its connection by that, and is asked for again.
	t.Setenv("AWS_MAX_ATTEMPTS", "3")
	cfg := config.Default()
	cfg.AWS.Endpoint = server.URL
	cfg.AWS.Accounts = []config.AWSAccount{{Name: "live"}}
	if err := config.Validate(cfg); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func keys() firewall.Keyring {
	return firewall.Keyring{Instance: "main", Keys: []firewall.MarkKey{{ID: "a", Secret: []byte("a secret of 32 bytes for testing")}}}
}

// A cloud that does not answer is an error of its own, and is there as soon as it
// does.
func TestConnectsWhenItCan(t *testing.T) {
	var up atomic.Bool
	cfg := simulated(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !up.Load() {
				http.Error(w, "down", http.StatusServiceUnavailable)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	all := clouds.Open(cfg, keys())
	if len(all) != 1 || all[0].Name() != "AWS account live" {
		t.Fatalf("%d clouds", len(all))
	}
	c := all[0]
	if vms, err := c.Inventory(t.Context()); err == nil || !strings.Contains(err.Error(), "reach AWS account live: ") || len(vms) > 0 {
		t.Errorf("nobody answers, and there is %v, %v", vms, err)
	}
	if _, err := c.Observe(t.Context(), "fw", nil); err == nil {
		t.Error("a firewall of a cloud that was not reached can be read")
	}
	if l := c.Limits("fw"); l.Resync != 0 {
		t.Errorf("limits of what is not known: %+v", l)
	}
	up.Store(true)
	found, err := c.Try(t.Context())
	if err != nil || found.VMs != 6 || found.Firewalls == 0 || found.Place != "account "+ec2.DefaultAccount+", "+ec2.DefaultRegion {
		t.Errorf("found %+v, %v", found, err)
	}
	if l := c.Limits("fw"); l.Resync != 2*time.Minute {
		t.Errorf("limits %+v", l)
	}
}

// However many want to look at once, few are let.
func TestFewLooksAtOnce(t *testing.T) {
	var now, most atomic.Int64
	cfg := simulated(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n := now.Add(1)
			defer now.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				continue
			}
			time.Sleep(time.Millisecond)
			h.ServeHTTP(w, r)
		})
	})
	c := clouds.Open(cfg, keys())[0]
	vms, err := c.Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fw := vms[0].Firewalls()[0]
	var looking sync.WaitGroup
	for range 40 {
		looking.Go(func() {
			if _, err := c.Observe(t.Context(), fw, nil); err != nil {
				t.Error(err)
			}
		})
	}
	looking.Wait()
	if n := most.Load(); n < 2 || n > 8 {
		t.Errorf("%d looks at once", n)
	}
}

func TestAuthoritiesThatAreNotThere(t *testing.T) {
	cfg := simulated(t, func(h http.Handler) http.Handler { return h })
	cfg.AWS.CAFile = "/does/not/exist.pem"
	if _, err := clouds.Open(cfg, keys())[0].Try(t.Context()); err == nil || !strings.Contains(err.Error(), "/does/not/exist.pem") {
		t.Error(err)
	}
}
