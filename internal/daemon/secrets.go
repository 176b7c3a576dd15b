package daemon

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// The files in the state directory.
const (
	marksFile      = "marks.key"        // the keys of the marks; see ReadMarks
	auditKeyFile   = "audit.key"        // the key that signs checkpoints of the audit log
	checkpointFile = "audit.checkpoint" // the last checkpoint that was signed
	databaseFile   = "sesame.db"
)

const marksHead = `# The keys of the marks on Sesame's rules. Keep a copy of this file apart from
# the database: with it alone, "sesame sweep" closes what is past its deadline.
# The first key makes new marks; all of them verify. To change the key put a new
# one first, and remove an old one when its last deadline has passed.
`

// ErrNoMarks says that there is no file of mark keys yet.
var ErrNoMarks = errors.New("there are no mark keys")

// ReadMarks reads the keys of the marks from a state directory. They lie beside
// the database and not in it, so that closing does not need one. A line is
// "instance NAME" or "key ID SECRET", the secret in base64; the newest key comes
// first. The error is ErrNoMarks when there is no such file.
func ReadMarks(stateDir string) (firewall.Keyring, error) {
	path := filepath.Join(stateDir, marksFile)
	text, err := readSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		return firewall.Keyring{}, fmt.Errorf("read %s: %w", path, ErrNoMarks)
	}
	if err != nil {
		return firewall.Keyring{}, err
	}
	k, err := parseMarks(string(text))
	if err != nil {
		return firewall.Keyring{}, errkind.Wrap(errkind.Invalid, err, "%s cannot be read, so no mark can be verified: %v; restore it from a copy", path, err)
	}
	return k, nil
}

// lostMarks is the error that the keys of the marks are gone while the database
// that they belong to is still there.
func lostMarks(stateDir string) error {
	return errkind.Wrap(errkind.Conflict, ErrNoMarks, "%s is gone, and the database beside it has been in use; restore it from a copy. "+
		"Without one no mark on a rule can be verified any more: locks stay, and the openings of before close by a sweep or at their deadlines. "+
		"To go on so with new keys, start once with --new-marks", filepath.Join(stateDir, marksFile))
}

func parseMarks(text string) (firewall.Keyring, error) {
	k := firewall.Keyring{Instance: "", Keys: nil}
	seen := map[string]bool{}
	line := 0
	for l := range strings.Lines(text) {
		line++
		word := strings.Fields(l)
		if len(word) == 0 || strings.HasPrefix(word[0], "#") {
			continue
		}
		switch {
		case len(word) == 2 && word[0] == "instance" && k.Instance == "" && plain(word[1], 12):
			k.Instance = word[1]
		case len(word) == 3 && word[0] == "key" && plain(word[1], 4) && !seen[word[1]]:
			secret, err := base64.StdEncoding.Strict().DecodeString(word[2])
			if err != nil || len(secret) < leastSecret {
				return firewall.Keyring{}, fmt.Errorf("line %d: the secret of key %s is not at least %d bytes in base64", line, word[1], leastSecret)
			}
			seen[word[1]] = true
			k.Keys = append(k.Keys, firewall.MarkKey{ID: word[1], Secret: secret})
		default:
			return firewall.Keyring{}, fmt.Errorf(`line %d is neither "instance NAME" nor "key ID SECRET", each named once`, line)
		}
	}
	if k.Instance == "" || len(k.Keys) == 0 {
		return firewall.Keyring{}, errors.New("it needs one instance and at least one key")
	}
	return k, nil
}

const leastSecret = 16

// plain reports whether s is one to most lower-case letters or digits.
func plain(s string, most int) bool {
	return s != "" && len(s) <= most && strings.Trim(s, "0123456789abcdefghijklmnopqrstuvwxyz") == ""
}

// formatMarks writes k as parseMarks reads it.
func formatMarks(k firewall.Keyring) []byte {
	var b strings.Builder
	b.WriteString(marksHead)
	fmt.Fprintf(&b, "instance %s\n", k.Instance)
	for _, key := range k.Keys {
		fmt.Fprintf(&b, "key %s %s\n", key.ID, base64.StdEncoding.EncodeToString(key.Secret))
	}
	return []byte(b.String())
}

// ensureMarks reads the keys of the marks and makes them where there are none.
// made says that it did.
func ensureMarks(stateDir, instance string) (k firewall.Keyring, made bool, err error) {
	k, err = ReadMarks(stateDir)
	if !errors.Is(err, ErrNoMarks) {
		return k, false, err
	}
	var random [4 + 32]byte
	_, _ = rand.Read(random[:]) // never fails: it ends the process instead
	id := make([]byte, 4)
	for i := range id {
		const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
		id[i] = alphabet[int(random[i])%len(alphabet)]
	}
	k = firewall.Keyring{Instance: instance, Keys: []firewall.MarkKey{{ID: string(id), Secret: random[4:]}}}
	if err := writeFile(filepath.Join(stateDir, marksFile), formatMarks(k)); err != nil {
		return firewall.Keyring{}, false, err
	}
	return k, true, nil
}

// A logKey signs checkpoints of the audit log, or verifies them.
type logKey struct{ origin, secret, public string }

// ensureLogKey reads the key of the audit log and makes it where there is none.
// The file has two lines: the key that signs, which is secret, and the one that
// verifies, for auditors to copy.
func ensureLogKey(stateDir, instance string) (logKey, error) {
	path := filepath.Join(stateDir, auditKeyFile)
	text, err := readSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		secret, public, err := audit.NewKey(rand.Reader, "sesame/"+instance)
		if err != nil {
			return logKey{}, err
		}
		text = []byte(secret + "\n" + public + "\n")
		if err := writeFile(path, text); err != nil {
			return logKey{}, err
		}
	} else if err != nil {
		return logKey{}, err
	}
	k, err := parseLogKey(string(text))
	if err != nil {
		return logKey{}, errkind.Wrap(errkind.Invalid, err, "%s holds no key of an audit log: %v; restore it from a copy", path, err)
	}
	return k, nil
}

// parseLogKey reads a pair of keys, and sees to it that they are one.
func parseLogKey(text string) (logKey, error) {
	secret, rest, _ := strings.Cut(text, "\n")
	public, end, _ := strings.Cut(rest, "\n")
	if end != "" {
		return logKey{}, errors.New("it has more than two lines")
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		return logKey{}, fmt.Errorf("read the second line: %w", err)
	}
	trial := audit.Checkpoint{Origin: verifier.Name(), Size: 0, Root: tlog.Hash{}}
	signed, err := trial.Sign(secret)
	if err != nil {
		return logKey{}, fmt.Errorf("read the first line: %w", err)
	}
	if _, err := audit.OpenCheckpoint(signed, public); err != nil {
		return logKey{}, errors.New("its two lines do not belong together")
	}
	return logKey{origin: verifier.Name(), secret: secret, public: public}, nil
}
