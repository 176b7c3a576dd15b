package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

func TestMarkKeysAreMadeOnceAndKept(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadMarks(dir); !errors.Is(err, ErrNoMarks) {
		t.Fatalf("an empty directory has keys: %v", err)
	}
	first, made, err := ensureMarks(dir, "0123456789ab")
	if err != nil || !made {
		t.Fatalf("made %t, %v", made, err)
	}
	if first.Instance != "0123456789ab" || len(first.Keys) != 1 || len(first.Keys[0].Secret) != 32 {
		t.Errorf("the keys are %+v", first)
	}
	// A new database has another name; the keys keep theirs, or every mark would
	// be somebody else's.
	again, made, err := ensureMarks(dir, "zzzzzzzzzzzz")
	if err != nil || made {
		t.Fatalf("made %t, %v", made, err)
	}
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("the keys changed (-first +again):\n%s", diff)
	}
	path := filepath.Join(dir, marksFile)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadMarks(dir); errkind.Of(err) != errkind.Conflict || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a secret that others may read is used: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
}

func TestMarkKeysAreReadStrictly(t *testing.T) {
	const secret = "MDEyMzQ1Njc4OWFiY2RlZg=="
	good := "# old and new\n\ninstance ab\nkey new " + secret + "\nkey 0old " + secret + "\n"
	k, err := parseMarks(strings.ReplaceAll(good, "0old", "old"))
	if err != nil {
		t.Fatal(err)
	}
	want := firewall.Keyring{Instance: "ab", Keys: []firewall.MarkKey{
		{ID: "new", Secret: []byte("0123456789abcdef")}, {ID: "old", Secret: []byte("0123456789abcdef")},
	}}
	if diff := cmp.Diff(want, k); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	back, err := parseMarks(string(formatMarks(k)))
	if diff := cmp.Diff(k, back); err != nil || diff != "" {
		t.Errorf("written and read again, %v (-want +got):\n%s", err, diff)
	}
	for _, bad := range []string{
		"", "instance ab\n", "key a " + secret + "\n",
		"instance AB\nkey a " + secret, "instance abcdefghijklm\nkey a " + secret,
		"instance ab\ninstance ab\nkey a " + secret,
		"instance ab\nkey a " + secret + "\nkey a " + secret,
		"instance ab\nkey abcde " + secret, "instance ab\nkey a. " + secret,
		"instance ab\nkey a", "instance ab\nkey a " + secret + " more",
		"instance ab\nkey a MDEy", "instance ab\nkey a MDEyMzQ1Njc4OWFiY2RlZg",
		"instance ab\nkeys a " + secret,
	} {
		if k, err := parseMarks(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, k)
		}
	}
}

func TestLogKeyIsMadeOnceAndIsAPair(t *testing.T) {
	dir := t.TempDir()
	first, err := ensureLogKey(dir, "0123456789ab")
	if err != nil {
		t.Fatal(err)
	}
	if first.origin != "sesame/0123456789ab" {
		t.Errorf("the log is called %q", first.origin)
	}
	again, err := ensureLogKey(dir, "zzzzzzzzzzzz")
	if err != nil || again != first {
		t.Errorf("the key changed, %v", err)
	}
	other, err := ensureLogKey(t.TempDir(), "0123456789ab")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"two halves": first.secret + "\n" + other.public + "\n",
		"one line":   first.secret + "\n",
		"three":      first.secret + "\n" + first.public + "\nmore\n",
		"nothing":    "",
	} {
		if _, err := parseLogKey(text); err == nil {
			t.Errorf("%s are taken for a key", name)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, auditKeyFile), []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ensureLogKey(dir, "x"); errkind.Of(err) != errkind.Invalid {
		t.Errorf("a broken key is replaced: %v", err)
	}
}

func TestStateDirectoryIsClosedToOthers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "state")
	for range 2 {
		if err := makeStateDir(dir); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Fatalf("its mode is %v, %v", info.Mode(), err)
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWriteFileLeavesOldOrNew(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	for _, text := range []string{"one", "two"} {
		if err := writeFile(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("it holds %q, %v", got, err)
		}
	}
	if err := writeFile(filepath.Join(dir, "none", "x"), nil); err == nil {
		t.Error("writing into a directory that does not exist succeeds")
	}
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(filepath.Join(dir, "d"), []byte("x")); err == nil {
		t.Error("a directory is replaced by a file")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("something is left behind: %v, %v", entries, err)
	}
}

func FuzzParseMarks(f *testing.F) {
	f.Add("instance ab\nkey new MDEyMzQ1Njc4OWFiY2RlZg==\nkey old MDEyMzQ1Njc4OWFiY2RlZjAxMjM=\n")
	f.Add("# head\n\ninstance 0123456789ab\r\nkey\ta  MDEyMzQ1Njc4OWFiY2RlZg==")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := parseMarks(text)
		if err != nil {
			if k.Instance != "" || k.Keys != nil {
				t.Fatalf("%q failed and is read as %+v", text, k)
			}
			return
		}
		seen := map[string]bool{}
		for _, key := range k.Keys {
			if seen[key.ID] || !plain(key.ID, 4) || len(key.Secret) < leastSecret {
				t.Fatalf("%q is read as %+v", text, k)
			}
			seen[key.ID] = true
		}
		if len(k.Keys) == 0 || !plain(k.Instance, 12) {
			t.Fatalf("%q is read as %+v", text, k)
		}
		back, err := parseMarks(string(formatMarks(k)))
		if diff := cmp.Diff(k, back); err != nil || diff != "" {
			t.Fatalf("%q, written and read again: %v (-want +got):\n%s", text, err, diff)
		}
	})
}
