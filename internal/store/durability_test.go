package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sesame-access/sesame/internal/access"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/store"
)

// child, when it is set, makes this program save in the directory it names.
const child = "SESAME_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	switch what, dir, _ := strings.Cut(os.Getenv(child), " "); what {
	case "":
		goleak.VerifyTestMain(m)
	case "save":
		saveForEver(dir)
	case "full":
		fillTheDisk(dir)
	}
}

// start starts this program again as a child.
func start(t *testing.T, what, dir string) (*exec.Cmd, io.Reader) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), child+"="+what+" "+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// saveForEver saves from several goroutines and prints what was acknowledged.
func saveForEver(dir string) {
	s, err := store.Open(context.Background(), filepath.Join(dir, "sesame.db"))
	if err != nil {
		fmt.Println("error", err)
		return
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for n := os.Getpid()*1_000_000 + worker; ; n += 8 {
				if err := s.Save(context.Background(), asked(n)); err != nil {
					fmt.Println("error", err)
					return
				}
				// One write, so that a line is there or not.
				_, _ = os.Stdout.WriteString(asked(n).Grants[0].ID + "\n")
			}
		})
	}
	wg.Wait()
}

// Every save that was acknowledged before a kill is there after it, and the log
// has no gap.
func TestKilledInTheMiddle(t *testing.T) {
	dir := t.TempDir()
	acknowledged := map[string]bool{}
	rounds := 5
	if testing.Short() {
		rounds = 2
	}
	for round := range rounds {
		cmd, out := start(t, "save", dir)
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if strings.HasPrefix(lines.Text(), "error") {
				t.Fatal(lines.Text())
			}
			acknowledged[lines.Text()] = true
			if n == 100+37*round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait()
		s := openIn(t, dir)
		for id := range acknowledged {
			if _, err := s.Grant(t.Context(), id); err != nil {
				t.Errorf("round %d: grant %s was acknowledged: %v", round, id, err)
			}
		}
		checkWhole(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d saves were acknowledged before %d kills", len(acknowledged), rounds)
}

// checkWhole fails if state and log do not tell the same story.
func checkWhole(t *testing.T, s *store.Store) {
	t.Helper()
	tree, err := s.Tree(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := s.Sealed(t.Context(), 0, int(tree.N)+1)
	if err != nil || int64(len(sealed)) != tree.N {
		t.Fatalf("%d records of %d, %v", len(sealed), tree.N, err)
	}
	grants, err := s.Pending(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, g := range grants {
		have[g.ID] = true
	}
	var edge audit.Edge
	for i, r := range sealed {
		record, err := r.Open()
		if err != nil || r.Index != int64(i) || !have[record.Grant] {
			t.Fatalf("record %d: index %d, grant %s is there: %t, %v", i, r.Index, record.Grant, have[record.Grant], err)
		}
		delete(have, record.Grant)
		if _, err := edge.Append(r.Hash()); err != nil {
			t.Fatal(err)
		}
	}
	if len(have) > 0 {
		t.Errorf("%d grants have no record", len(have))
	}
	if root, err := edge.Root(); err != nil || root != tree.Hash {
		t.Errorf("the root is %v, the records give %v, %v", tree.Hash, root, err)
	}
}

// A copy of the files as they are at one moment, as after a loss of power.
func TestCopiedWithoutClosing(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	s := openIn(t, dir)
	defer s.Close()
	for n := range 50 {
		if err := s.Save(t.Context(), asked(n)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"sesame.db", "sesame.db-wal"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	again := openIn(t, copied)
	defer again.Close()
	checkWhole(t, again)
	if grants, err := again.Pending(t.Context()); err != nil || len(grants) != 50 {
		t.Errorf("%d grants, %v", len(grants), err)
	}
}

// fillTheDisk saves until the file may not grow any more, and goes on when it
// may again. The limit is of this process, so that it runs in one of its own.
func fillTheDisk(dir string) {
	s, err := store.Open(context.Background(), filepath.Join(dir, "sesame.db"))
	if err != nil {
		fmt.Println("error", err)
		return
	}
	limit := func(bytes uint64) {
		var r syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &r); err != nil {
			fmt.Println("error", err)
		}
		r.Cur = min(bytes, r.Max)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &r); err != nil {
			fmt.Println("error", err)
		}
	}
	n := 0
	for round := range 3 {
		limit(uint64(400_000 + 300_000*round))
		failed := 0
		for failed < 3 {
			err := s.Save(context.Background(), asked(n))
			switch {
			case err == nil:
				fmt.Println(asked(n).Grants[0].ID)
			case errkind.Of(err) == errkind.Unavailable:
				failed++
			default:
				fmt.Println("error", err)
				return
			}
			n++
		}
		limit(1 << 40)
	}
	for range 5 {
		if err := s.Save(context.Background(), asked(n)); err != nil {
			fmt.Println("error later:", err)
			return
		}
		fmt.Println(asked(n).Grants[0].ID)
		n++
	}
	if err := s.Close(); err != nil {
		fmt.Println("error", err)
	}
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	cmd, out := start(t, "full", dir)
	text, err := io.ReadAll(out)
	if err := errors.Join(err, cmd.Wait()); err != nil {
		t.Fatal(err)
	}
	ids := strings.Fields(string(text))
	if strings.Contains(string(text), "error") || len(ids) < 10 {
		t.Fatalf("the child says:\n%s", text)
	}
	s := openIn(t, dir)
	defer s.Close()
	checkWhole(t, s)
	grants, err := s.Pending(t.Context())
	if err != nil || len(grants) != len(ids) {
		t.Errorf("%d grants, %d were acknowledged, %v", len(grants), len(ids), err)
	}
	t.Logf("%d saves around three full disks", len(ids))
}

// edit changes the file by hand.
func edit(t *testing.T, dir, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "sesame.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

func edited(statement string) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		edit(t, dir, statement)
	}
}

// Deadlines that somebody wrote into the file by hand have passed; the grants
// stay pending, so that they are closed.
func TestHandEditedDeadlines(t *testing.T) {
	for _, value := range []string{"0", "-1", "9223372036854775807", "-9223372036854775808", "253402300800000", "1774747800000 * 3600000"} {
		dir := t.TempDir()
		s := openIn(t, dir)
		if err := s.Save(t.Context(), asked(1)); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		edit(t, dir, "UPDATE grants SET deadline = "+value)
		s = openIn(t, dir)
		grants, err := s.Pending(t.Context())
		if err != nil || len(grants) != 1 {
			t.Fatalf("%s: %d grants, %v", value, len(grants), err)
		}
		now := access.Reading{Wall: grants[0].Start.Add(time.Second), Boot: 0, BootID: "", Third: time.Time{}}
		if grants[0].Live(now) || !grants[0].Over(now) {
			t.Errorf("deadline %s: live %t", value, grants[0].Live(now))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHandEditedRules(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, dir, `INSERT INTO policies VALUES ('bad', 1, '{"ports":[{"sources":["x"]}]}'), ('good', 1, '{"vms":["host://a"]}');
		INSERT INTO locks VALUES ('host://a', 70000, 6, '', 0, '', 0, '', '', '', 0, ''), ('host://a', 22, 6, 'x', 0, '', 0, '', '', '', 0, 'x')`)
	s = openIn(t, dir)
	defer s.Close()
	r, err := s.Rules(t.Context())
	if err != nil || len(r.Policies) != 1 || len(r.Damaged) != 1 || r.Damaged[0] != "bad" || len(r.Locks) != 1 || r.Locks[0].Exempt != nil || r.Locks[0].Accepts != nil {
		t.Errorf("rules %+v, %v", r, err)
	}
}

func TestTamperedRecordsAreShownAsSuch(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	for n := range 3 {
		if err := s.Save(t.Context(), asked(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, dir, `UPDATE records SET personal = replace(personal, 'user-1', 'user-2') WHERE idx = 1`)
	s = openIn(t, dir)
	defer s.Close()
	entries, err := s.Tail(t.Context(), store.ActivityFilter{}, -1)
	if err != nil || len(entries) != 3 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for i, e := range entries {
		if (e.Damaged != "") != (i == 1) || (e.Actor.Subject == "") != (i == 1) {
			t.Errorf("entry %d: %q, actor %v", i, e.Damaged, e.Actor)
		}
	}
}

// refusal opens what cannot be opened and returns what it says.
func refusal(t *testing.T, dir string) string {
	t.Helper()
	s, err := store.Open(t.Context(), filepath.Join(dir, "sesame.db"))
	if err == nil {
		_ = s.Close()
		t.Error("it was opened")
		return ""
	}
	if errkind.Of(err) != errkind.Unavailable {
		t.Errorf("%v is of kind %s", err, errkind.Of(err))
	}
	if err.Error() != errkind.Public(err) {
		t.Errorf("the log says more than once what is wrong: %v", err)
	}
	return errkind.Public(err)
}

func TestDamagedFilesAreRefused(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, dir string){
		"truncated": func(t *testing.T, dir string) {
			t.Helper()
			if err := os.Truncate(filepath.Join(dir, "sesame.db"), 40_000); err != nil {
				t.Fatal(err)
			}
		},
		"overwritten": func(t *testing.T, dir string) {
			t.Helper()
			f, err := os.OpenFile(filepath.Join(dir, "sesame.db"), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for page := int64(3); page < 30; page++ {
				if _, err := f.WriteAt([]byte(strings.Repeat("\xa5", 300)), page*4096+50); err != nil {
					t.Fatal(err)
				}
			}
		},
		"no database": func(t *testing.T, dir string) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(dir, "sesame.db"), []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"record missing":     edited("DELETE FROM records WHERE idx = 7"),
		"last record gone":   edited("DELETE FROM records WHERE idx = 49"),
		"one record more":    edited("UPDATE instance SET size = 49"),
		"hashes of a record": edited("UPDATE records SET hashes = x'00' WHERE idx = 31"),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openIn(t, dir)
			for n := range 50 {
				if err := s.Save(t.Context(), asked(n)); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			damage(t, dir)
			if text := refusal(t, dir); !strings.Contains(text, "sesame sweep") || !strings.Contains(text, "nothing can be opened") {
				t.Errorf("it says %q", text)
			}
		})
	}
}

func TestNewerSchemasAreRefused(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, dir, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (1000, 1)")
	if text := refusal(t, dir); !strings.Contains(text, "newer version of Sesame") {
		t.Errorf("it says %q", text)
	}
}

func TestOnlyTheOwnerMayRead(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	defer s.Close()
	if err := s.Save(t.Context(), asked(1)); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", f, info.Mode(), err)
		}
	}
}

// Erased means gone from the file, not only from the tables.
func TestErasedTextIsGoneFromTheFile(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	const word = "xyzzy-plugh-42"
	var indexes []int64
	for n := range int64(200) {
		c := asked(int(n))
		c.Records[0].Reason = strings.Repeat(word, int(1+n%20))
		if err := s.Save(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		indexes = append(indexes, n)
	}
	erase := store.Change{
		Erase:   []store.Erasure{{Principal: access.Principal{}, Indexes: indexes}},
		Records: []audit.Record{{Kind: audit.Erased, Time: time.UnixMilli(1), Actor: access.System()}},
	}
	if err := s.Save(t.Context(), erase); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if data, err := os.ReadFile(f); err != nil || strings.Contains(string(data), word) {
			t.Errorf("%s still has it, %v", f, err)
		}
	}
}

// What was committed gets into the file without anybody waiting for it.
func TestTheLogIsTidiedUp(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	defer s.Close()
	size := func() int64 {
		info, err := os.Stat(filepath.Join(dir, "sesame.db"))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	before := size()
	for n := 0; size() <= before; n++ {
		if n == 5000 {
			t.Fatalf("after %d saves the file has still %d bytes", n, before)
		}
		if err := s.Save(t.Context(), asked(n)); err != nil {
			t.Fatal(err)
		}
	}
}

// A look-up by source must not grow with everything that ever was.
func TestClosedGrantsLeaveTheIndex(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	c := asked(1)
	if err := s.Save(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	closed := store.Outcome{Grant: c.Grants[0].ID, Closed: time.UnixMilli(1774747900000), Records: c.Records}
	if err := s.Save(t.Context(), store.Change{Outcomes: []store.Outcome{closed}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "sesame.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM grant_sources").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d sources of closed grants, %v", n, err)
	}
}

// In a bubble an idle store lets time pass, and a busy one does not.
func TestInABubble(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := openIn(t, dir)
		begin := time.Now()
		for n := range 20 {
			if err := s.Save(t.Context(), asked(n)); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("saving took %s of the bubble's time", took)
		}
		changed := s.Changed()
		time.AfterFunc(3*time.Hour, func() {
			if err := s.Save(context.Background(), asked(99)); err != nil {
				t.Error(err)
			}
		})
		<-changed
		if took := time.Since(begin); took != 3*time.Hour {
			t.Errorf("the news came after %s", took)
		}
		synctest.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
