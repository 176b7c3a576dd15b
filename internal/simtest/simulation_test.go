package simtest_test

import (
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/sesame-access/sesame/internal/simtest"
)

// TestSimulation (S-12 among others) plays drawn histories until SESAME_SIM_TIME has passed, from
// SESAME_SIM_SEED on. The same seed plays the same histories.
func TestSimulation(t *testing.T) {
	seed, budget := uint64(1), 12*time.Second
	if text := os.Getenv("SESAME_SIM_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("SESAME_SIM_SEED: %v", err)
		}
		seed = n
	}
	if text := os.Getenv("SESAME_SIM_TIME"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("SESAME_SIM_TIME: %v", err)
		}
		budget = d
	}
	rapidFlags(t, "rapid.nofailfile", "true", "rapid.checks", "50", "rapid.shrinktime", "20s")
	template := filepath.Join(t.TempDir(), "template.db")
	if err := simtest.Template(t.Context(), template); err != nil {
		t.Fatal(err)
	}
	dir := quickDir(t)
	var histories, steps int64
	var lived atomic.Int64 // nanoseconds of simulated time
	begun := time.Now()
	for ; time.Since(begun) < budget && !t.Failed(); seed++ {
		rapidFlags(t, "rapid.seed", strconv.FormatUint(seed, 10))
		t.Run("seed "+strconv.FormatUint(seed, 10), func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("replay with SESAME_SIM_SEED=%d go test -run TestSimulation ./internal/simtest", seed)
				}
			}()
			rapid.Check(t, func(rt *rapid.T) {
				h := draw(rt)
				histories++
				steps += int64(len(h.Steps))
				if err := play(t, h, template, dir, &lived); err != nil {
					rt.Fatalf("%v\n%s", err, h)
				}
			})
		})
	}
	took := time.Since(begun)
	t.Logf("%d histories, %d steps, %.0f simulated hours in %.1fs: %.0f simulated hours a second",
		histories, steps, time.Duration(lived.Load()).Hours(), took.Seconds(), time.Duration(lived.Load()).Hours()/took.Seconds())
}

// quickDir returns a directory that costs no flush of a disk, where there is one.
func quickDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "simtest") //nolint:usetesting // which is on a disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func rapidFlags(t *testing.T, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		old := flag.Lookup(pairs[i]).Value.String()
		t.Cleanup(func() { _ = flag.Set(pairs[i], old) })
		if err := flag.Set(pairs[i], pairs[i+1]); err != nil {
			t.Fatal(err)
		}
	}
}

// play plays one history and says what is wrong.
func play(t *testing.T, h history, template, dir string, lived *atomic.Int64) (err error) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		s, e := newSim(t.Context(), h, template, filepath.Join(dir, "sesame.db"))
		if e != nil {
			t.Fatal(e)
		}
		defer func() {
			lived.Add(int64(s.clocks.Now().Sub(begun)))
			if e := s.inst.Close(); e != nil && err == nil {
				err = e
			}
		}()
		err = s.play(h.Steps)
	})
	return err
}
