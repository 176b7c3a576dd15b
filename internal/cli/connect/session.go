package connect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/sesame-access/sesame/internal/errkind"
)

// sessionFile returns where the session of a server is kept: a file for each, below
// the client's configuration, so that none is ever shown to another. Empty where
// there is no place for it.
func (m Machine) sessionFile(server string) string {
	u, err := url.Parse(server)
	if m.File == "" || err != nil || u.Host == "" {
		return ""
	}
	return filepath.Join(filepath.Dir(m.File), "sessions", url.QueryEscape(u.Host))
}

// withSession returns t with the session that `sesame login` left for its server,
// unless t has a token.
func withSession(ctx context.Context, t Target, m Machine) (Target, error) {
	file := m.sessionFile(t.URL)
	if t.Token != "" || t.Demo != "" || file == "" {
		return t, nil
	}
	secret, err := readToken(ctx, file)
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	t.Token, t.TokenSource = secret, "sesame login"
	return t, err
}

// KeepSession keeps the secret of a session for its server.
func KeepSession(m Machine, server, secret string) error {
	file := m.sessionFile(server)
	if file == "" {
		return errkind.New(errkind.Unavailable, "there is no home directory to keep the session in; use SESAME_TOKEN_FILE and a token instead")
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("make a place for the session: %w", err)
	}
	// A new file, so that nobody who had the old one open sees it.
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("replace the session: %w", err)
	}
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		return fmt.Errorf("keep the session: %w", err)
	}
	return nil
}

// DropSession forgets the session of a server; false if there was none.
func DropSession(m Machine, server string) (bool, error) {
	err := os.Remove(m.sessionFile(server))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
