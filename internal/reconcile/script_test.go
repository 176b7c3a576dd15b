package reconcile_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/memory"
	"github.com/sesame-access/sesame/internal/simtest"
)

var update = flag.Bool("update", false, "rewrite what the scripts print in testdata/*.txtar")

// TestScripts plays each testdata/*.txtar in a world of its own, on a clock of
// its own. testdata/README.md lists the verbs.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	template := filepath.Join(t.TempDir(), "template.db")
	if err := simtest.Template(t.Context(), template); err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			written := map[string]bool{}
			for _, d := range dialects(ar) {
				t.Run(d.String(), func(t *testing.T) {
					dir := t.TempDir()
					synctest.Test(t, func(t *testing.T) {
						s := newStage(t, ar, d, template, dir)
						s.written = written
						defer s.close(t)
						s.play(t, file)
					})
				})
			}
			if *update && !t.Failed() {
				if err := os.WriteFile(file, txtar.Format(ar), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// dialects returns what the script's first verb, "dialects", lists.
func dialects(ar *txtar.Archive) (out []memory.Dialect) {
	for line := range strings.Lines(string(ar.Comment)) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "dialects" {
			for _, d := range []memory.Dialect{memory.Numbered, memory.Union, memory.Keyed} {
				if slices.Contains(words, d.String()) {
					out = append(out, d)
				}
			}
		}
	}
	return out
}

// play does line by line what the script says. "! " in front of a verb means
// that it must fail, "? " that it may.
func (s *stage) play(t *testing.T, file string) {
	t.Helper()
	for i, line := range strings.Split(string(s.ar.Comment), "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" || words[0] == "dialects" {
			continue
		}
		mood := ""
		if words[0] == "!" || words[0] == "?" {
			mood, words = words[0], words[1:]
		}
		site := "sesame"
		if words[0] == "at" {
			site, words = words[1], words[2:]
		}
		synctest.Wait()
		err := errors.Join(s.do(t, site, words[0], parse(words[1:])), s.trouble)
		switch {
		case mood == "!" && err == nil:
			t.Fatalf("%s:%d: %s: it should have failed", file, i+1, line)
		case mood == "" && err != nil:
			t.Fatalf("%s:%d: %s: %v", file, i+1, line, err)
		case mood == "!":
			s.last = err
		}
	}
}

// args are the words behind a verb: plain ones, and key=value.
type args struct {
	plain []string
	named map[string]string
}

func parse(words []string) args {
	a := args{named: map[string]string{}}
	for _, w := range words {
		if key, value, ok := strings.Cut(w, "="); ok {
			a.named[key] = value
		} else {
			a.plain = append(a.plain, w)
		}
	}
	return a
}

// at returns the plain word at n; empty if there is none.
func (a args) at(n int) string {
	if n < len(a.plain) {
		return a.plain[n]
	}
	return ""
}

func (a args) has(word string) bool { return slices.Contains(a.plain, word) }

// duration returns the duration called key; 0 if there is none.
func (a args) duration(key string) (time.Duration, error) {
	if a.named[key] == "" {
		return 0, nil
	}
	return time.ParseDuration(a.named[key])
}

// do does one verb.
func (s *stage) do(t *testing.T, site, verb string, a args) error {
	t.Helper()
	verbs := map[string]func(string, args) error{
		"vm": s.vm, "missing": s.missing, "detour": s.detour, "inventory": s.inventory,
		"enable": s.enable, "disable": s.disable, "drop": s.drop,
		"open": s.open, "close": s.closeGrant, "extend": s.extend,
		"fault": s.fault, "tamper": s.tamper, "flush": s.flush, "obstruct": s.obstruct, "beside": s.beside,
		"store": s.disk, "row": s.row,
		"restart": s.restart, "stop": s.stop, "start": s.start, "dies": s.dies, "between": s.between,
		"clock": s.clock, "sleep": s.sleep,
		"in": s.in, "out": s.out, "empty": s.empty, "verify": s.verify, "error": s.message,
		"firewall": s.firewall, "grants": s.grants, "activity": s.activity, "doors": s.doors, "reach": s.reach,
	}
	f, ok := verbs[verb]
	if !ok {
		return fmt.Errorf("there is no verb %s", verb)
	}
	err := f(site, a)
	if got, ok := errors.AsType[printed](err); ok {
		return s.compare(a.at(0), string(got))
	}
	return err
}

// printed is what a verb prints; the script says in which file of its archive it
// expects that.
type printed string

func (printed) Error() string { return "printed" }

// compare compares what was printed with a file of the archive: with FILE.DIALECT
// if there is one, else with FILE.
func (s *stage) compare(file, got string) error {
	for id, name := range s.names {
		got = strings.ReplaceAll(got, id, name)
	}
	got = strings.ReplaceAll(got, "host://", "")
	i := slices.IndexFunc(s.ar.Files, func(f txtar.File) bool { return f.Name == file+"."+s.dialect.String() })
	if i < 0 {
		i = slices.IndexFunc(s.ar.Files, func(f txtar.File) bool { return f.Name == file })
	}
	if i < 0 {
		return fmt.Errorf("there is no file %s; it would be\n%s", file, got)
	}
	if *update && !s.written[s.ar.Files[i].Name] {
		s.ar.Files[i].Data, s.written[s.ar.Files[i].Name] = []byte(got), true
	}
	if want := string(s.ar.Files[i].Data); got != want {
		return fmt.Errorf("got\n%swant\n%s", got, want)
	}
	return nil
}

// door reads "web-1:22" or "web-1:53/udp".
func door(text string) (firewall.Door, error) {
	vm, rest, _ := strings.Cut(text, ":")
	number, name, named := strings.Cut(rest, "/")
	if !named {
		name = "tcp"
	}
	port, err := firewall.ParsePort(number)
	protocol, errProtocol := firewall.ParseProtocol(name)
	return firewall.Door{VM: firewall.HostVM(vm), Protocol: protocol, Port: port}, errors.Join(err, errProtocol)
}
