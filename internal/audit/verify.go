package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"

	jsonv2 "github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/tlog"
)

// A Report is what a verified bundle shows.
type Report struct {
	// Head is the checkpoint that covers every record of the bundle.
	Head Checkpoint
	// Checkpoints counts those that were found consistent with the records: in
	// the bundle, and brought along.
	Checkpoints, Earlier int
	// Personal counts records with their personal part, Erased those without.
	Personal, Erased int64
	// History is what the records say about grants.
	History History
}

// A BundleError is the first thing that is wrong with a bundle.
type BundleError struct {
	// Index is the first bad record; −1 when it is the header or a checkpoint
	// brought along.
	Index int64
	// Last is the last record that can be meant. It differs from Index when only
	// a checkpoint shows that one of several records was changed.
	Last int64
	Err  error
}

// Error says where the fault is and what it is.
func (f *BundleError) Error() string {
	switch {
	case f.Index < 0:
		return "audit log: " + f.Err.Error()
	case f.Index == f.Last:
		return fmt.Sprintf("audit record %d: %v", f.Index, f.Err)
	}
	return fmt.Sprintf("audit records %d to %d: %v", f.Index, f.Last, f.Err)
}

// Unwrap returns the cause.
func (f *BundleError) Unwrap() error { return f.Err }

// Verify reads a bundle to its end and checks it against the log's public key
// and signed checkpoints of the same log that were kept elsewhere. It checks
// that
//
//   - the bundle's checkpoints and the earlier ones are signed with the key,
//   - indexes run from 0 without gaps up to the last checkpoint's size,
//   - every leaf has its hash, and every personal part that is still there is
//     the one that its leaf commits to,
//   - the root at the size of every checkpoint is the one that was signed, so
//     that the log was only ever added to,
//   - the records make sense together; see History.
//
// The error is a *BundleError that names the first bad record. A log that is shorter
// than an earlier checkpoint was rolled back; that is a fault, too. What is no
// bundle at all has no log to be at fault: then the error is ErrNoBundle.
func Verify(bundle io.Reader, public string, earlier ...[]byte) (Report, error) {
	v := verifier{
		lines:   bundleReader{lines: bufio.NewReaderSize(bundle, 1<<16), line: nil},
		public:  public,
		due:     nil,
		edge:    Edge{},
		checked: 0,
		report:  Report{},
		history: newHistory(),
	}
	if err := v.begin(earlier); errors.Is(err, ErrNoBundle) {
		return Report{}, err
	} else if err != nil {
		return Report{}, &BundleError{Index: -1, Last: -1, Err: err}
	}
	for {
		line, err := v.lines.next()
		if errors.Is(err, io.EOF) {
			break
		}
		index := v.edge.Size()
		if err == nil {
			err = v.record(line)
		}
		if err != nil {
			return Report{}, asFault(err, index)
		}
		if err := v.checkpoints(); err != nil {
			return Report{}, err
		}
	}
	if v.edge.Size() != v.report.Head.Size {
		return Report{}, asFault(fmt.Errorf("the bundle ends here; its last checkpoint covers %d records", v.report.Head.Size), v.edge.Size())
	}
	v.report.History = v.history.end()
	return v.report, nil
}

func asFault(err error, index int64) error {
	if f, ok := errors.AsType[*BundleError](err); ok {
		return f
	}
	return &BundleError{Index: index, Last: index, Err: err}
}

// verifier is the state of one verification.
type verifier struct {
	lines   bundleReader
	public  string
	due     []Checkpoint // still to be compared, smallest first
	edge    Edge
	checked int64 // up to here a checkpoint has shown the records to be right
	report  Report
	history *historian
}

// begin reads the header and every checkpoint.
func (v *verifier) begin(earlier [][]byte) error {
	h, err := v.lines.header()
	if err != nil {
		return err
	}
	if h.Key != v.public {
		return fmt.Errorf("the bundle names the key %.100q, not the trusted key", h.Key)
	}
	if len(h.Checkpoints) == 0 {
		return errors.New("the bundle has no checkpoint, so nothing vouches for it")
	}
	for i, signed := range h.Checkpoints {
		c, err := OpenCheckpoint([]byte(signed), v.public)
		if err != nil {
			return fmt.Errorf("checkpoint %d of the bundle: %w", i+1, err)
		}
		if c.Size < v.report.Head.Size {
			return fmt.Errorf("checkpoint %d of the bundle is smaller than the one before it", i+1)
		}
		v.report.Head = c
		v.due = append(v.due, c)
	}
	if h.Origin != v.report.Head.Origin {
		return fmt.Errorf("the bundle is of %.100q, its checkpoints are of %q", h.Origin, v.report.Head.Origin)
	}
	for i, signed := range earlier {
		c, err := OpenCheckpoint(signed, v.public)
		if err != nil {
			return fmt.Errorf("earlier checkpoint %d: %w", i+1, err)
		}
		if c.Size > v.report.Head.Size {
			return fmt.Errorf("the log went back: it had %d records and has %d", c.Size, v.report.Head.Size)
		}
		v.due = append(v.due, c)
	}
	slices.SortStableFunc(v.due, func(a, b Checkpoint) int { return int(a.Size - b.Size) })
	v.report.Checkpoints, v.report.Earlier = len(h.Checkpoints), len(earlier)
	return v.checkpoints() // those of an empty log
}

// record checks one line by itself.
func (v *verifier) record(line []byte) error {
	next := v.edge.Size()
	if next >= v.report.Head.Size {
		return fmt.Errorf("the last checkpoint covers %d records; nothing vouches for this one", v.report.Head.Size)
	}
	s, claimed, err := parseLine(line)
	if err != nil {
		return err
	}
	if s.Index != next {
		return fmt.Errorf("index %d comes where %d should", s.Index, next)
	}
	hash := s.Hash()
	if hash != claimed {
		return errors.New("the record was changed: it does not have its hash")
	}
	var l leaf
	if err := jsonv2.Unmarshal(s.Leaf, &l); err != nil || l.V != version {
		return fmt.Errorf("the record is none of version %d", version)
	}
	if s.Erased() {
		v.report.Erased++
	} else {
		if !committed(l, s.Salt, s.Personal) {
			return errors.New("the personal part is not the one that was recorded")
		}
		v.report.Personal++
	}
	if _, err := v.edge.Append(hash); err != nil {
		return err
	}
	return v.history.add(l)
}

// checkpoints compares the root with every checkpoint of the size reached.
func (v *verifier) checkpoints() error {
	if len(v.due) == 0 || v.due[0].Size != v.edge.Size() {
		return nil
	}
	root, err := v.edge.Root()
	if err != nil {
		return err
	}
	for len(v.due) > 0 && v.due[0].Size == v.edge.Size() {
		if v.due[0].Root != root {
			return v.mismatch(root)
		}
		v.due = v.due[1:]
	}
	v.checked = v.edge.Size()
	return nil
}

func (v *verifier) mismatch(root tlog.Hash) error {
	return &BundleError{
		Index: v.checked, Last: max(v.checked, v.edge.Size()-1),
		Err: fmt.Errorf("the log was rewritten: its root at %d records is %s, the checkpoint says %s", v.edge.Size(), root, v.due[0].Root),
	}
}
