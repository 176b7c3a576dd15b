package audit

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	bundleFormat = "sesame audit bundle"
	mostLine     = 16 << 20
)

// A Header begins a bundle.
type Header struct {
	Origin string
	// Key is the public key of the log. It is there to be compared: whoever
	// verifies brings the key along.
	Key string
	// Checkpoints are signed, from the smallest size to the largest. The last one
	// covers exactly the records of the bundle.
	Checkpoints []string
}

// header is the wire form of a Header.
type header struct {
	V           int      `json:"v"`
	Format      string   `json:"format"`
	Origin      string   `json:"origin"`
	Key         string   `json:"key"`
	Checkpoints []string `json:"checkpoints"`
}

// A BundleWriter writes a bundle: a line with the header, then a line for each
// record from index 0 on. Every line is canonical JSON, such as
//
//	{"index":0,"hash":"BASE64","salt":"BASE64","personal":{…},"leaf":{…}}
//
// in which salt and personal are left out together when they are erased.
type BundleWriter struct {
	w    *bufio.Writer
	next int64
}

// NewBundleWriter begins a bundle on w.
func NewBundleWriter(w io.Writer, h Header) (*BundleWriter, error) {
	b := &BundleWriter{w: bufio.NewWriter(w), next: 0}
	line := marshal(header{V: version, Format: bundleFormat, Origin: h.Origin, Key: h.Key, Checkpoints: h.Checkpoints})
	if _, err := b.w.Write(append(line, '\n')); err != nil {
		return nil, fmt.Errorf("write bundle: %w", err)
	}
	return b, nil
}

// Write adds the next record.
func (b *BundleWriter) Write(s Sealed) error {
	if s.Index != b.next {
		return fmt.Errorf("write bundle: record %d comes where %d should", s.Index, b.next)
	}
	b.next++
	if _, err := b.w.Write(lineOf(s)); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return nil
}

// Close writes out what is buffered. It does not close the writer below.
func (b *BundleWriter) Close() error {
	if err := b.w.Flush(); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return nil
}

// The pieces of a line. No piece can occur inside a record: there every quote is
// part of a member's name that is none of these, or is escaped.
const (
	beforeIndex    = `{"index":`
	beforeHash     = `,"hash":"`
	beforeSalt     = `","salt":"`
	beforePersonal = `","personal":`
	beforeLeaf     = `,"leaf":`
	beforeErased   = `","leaf":`
)

func lineOf(s Sealed) []byte {
	hash := s.Hash()
	b := []byte(beforeIndex)
	b = strconv.AppendInt(b, s.Index, 10)
	b = append(b, beforeHash...)
	b = base64.StdEncoding.AppendEncode(b, hash[:])
	if s.Erased() {
		b = append(b, beforeErased...)
	} else {
		b = append(b, beforeSalt...)
		b = base64.StdEncoding.AppendEncode(b, s.Salt)
		b = append(b, beforePersonal...)
		b = append(b, s.Personal...)
		b = append(b, beforeLeaf...)
	}
	b = append(b, s.Leaf...)
	return append(b, '}', '\n')
}

// parseLine reads what lineOf writes, without its line end, and the hash
// that the line claims. What is inside leaf and personal is not judged.
func parseLine(line []byte) (Sealed, tlog.Hash, error) {
	bad := func(what string) (Sealed, tlog.Hash, error) {
		return Sealed{}, tlog.Hash{}, errors.New("the line has no proper " + what)
	}
	rest, okStart := bytes.CutPrefix(line, []byte(beforeIndex))
	rest, okEnd := bytes.CutSuffix(rest, []byte("}"))
	digits, rest, okHash := bytes.Cut(rest, []byte(beforeHash))
	index, err := strconv.ParseInt(string(digits), 10, 64)
	if !okStart || !okEnd || !okHash || err != nil || strconv.FormatInt(index, 10) != string(digits) {
		return bad("index")
	}
	hashText, afterHash, ok := bytes.Cut(rest, []byte(`"`))
	hash, err := parseHash(string(hashText))
	if !ok || err != nil {
		return bad("hash")
	}
	rest = rest[len(rest)-len(afterHash)-1:]
	s := Sealed{Index: index, Leaf: nil, Salt: nil, Personal: nil}
	if text, erased := bytes.CutPrefix(rest, []byte(beforeErased)); erased {
		s.Leaf = text
		return s, hash, nil
	}
	rest, ok = bytes.CutPrefix(rest, []byte(beforeSalt))
	saltText, rest, okPersonal := bytes.Cut(rest, []byte(beforePersonal))
	s.Salt, err = base64.StdEncoding.Strict().DecodeString(string(saltText))
	if !ok || !okPersonal || err != nil || len(s.Salt) != SaltSize || base64.StdEncoding.EncodeToString(s.Salt) != string(saltText) {
		return bad("salt")
	}
	s.Personal, s.Leaf, ok = bytes.Cut(rest, []byte(beforeLeaf))
	if !ok {
		return bad("leaf")
	}
	return s, hash, nil
}

// A bundleReader reads a bundle line by line.
type bundleReader struct {
	lines *bufio.Reader
	line  []byte
}

// next returns the next line without its end; io.EOF behind the last one. The
// line is good until the next call.
func (b *bundleReader) next() ([]byte, error) {
	b.line = b.line[:0]
	for {
		part, err := b.lines.ReadSlice('\n')
		b.line = append(b.line, part...)
		switch {
		case len(b.line) > mostLine:
			return nil, fmt.Errorf("a line is longer than %d bytes", mostLine)
		case err == nil:
			return b.line[:len(b.line)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(b.line) == 0:
			return nil, io.EOF
		case errors.Is(err, io.EOF):
			return nil, errors.New("the last line has no end")
		default:
			return nil, fmt.Errorf("read bundle: %w", err)
		}
	}
}

// ErrNoBundle is wrapped by the error about something that is no bundle, or none
// that this program reads: it says nothing about any log.
var ErrNoBundle = errors.New("no audit bundle")

func (b *bundleReader) header() (Header, error) {
	line, err := b.next()
	if errors.Is(err, io.EOF) {
		return Header{}, fmt.Errorf("%w: there is nothing in it", ErrNoBundle)
	}
	if err != nil {
		return Header{}, fmt.Errorf("%w: %w", ErrNoBundle, err)
	}
	var h header
	if err := json.Unmarshal(line, &h); err != nil || h.Format != bundleFormat {
		return Header{}, fmt.Errorf("%w: it does not begin as one does", ErrNoBundle)
	}
	if h.V != version {
		return Header{}, fmt.Errorf("%w: it has version %d; this program reads version %d", ErrNoBundle, h.V, version)
	}
	if err := decode(line, &h); err != nil {
		return Header{}, fmt.Errorf("read the bundle's header: %w", err)
	}
	return Header{Origin: h.Origin, Key: h.Key, Checkpoints: h.Checkpoints}, nil
}
