-- Who signed in, what was last seen of whom, and who is the same person as whom.
-- Lists are JSON.

-- +goose Up

CREATE TABLE identities (
  issuer  TEXT    NOT NULL,
  subject TEXT    NOT NULL,
  display TEXT    NOT NULL,
  kind    TEXT    NOT NULL,
  groups  TEXT    NOT NULL,
  seen    INTEGER NOT NULL,
  PRIMARY KEY (issuer, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE links (
  issuer     TEXT    NOT NULL,
  subject    TEXT    NOT NULL,
  display    TEXT    NOT NULL,
  person     TEXT    NOT NULL,
  since      INTEGER NOT NULL,
  by_issuer  TEXT    NOT NULL,
  by_subject TEXT    NOT NULL,
  by_display TEXT    NOT NULL,
  PRIMARY KEY (issuer, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
  id      TEXT    NOT NULL PRIMARY KEY,
  hash    BLOB    NOT NULL UNIQUE,
  issuer  TEXT    NOT NULL,
  subject TEXT    NOT NULL,
  display TEXT    NOT NULL,
  kind    TEXT    NOT NULL,
  person  TEXT    NOT NULL,
  groups  TEXT    NOT NULL,
  proved  INTEGER NOT NULL,
  created INTEGER NOT NULL,
  seen    INTEGER NOT NULL,
  ended   INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_of_principal ON sessions (issuer, subject);

ALTER TABLE tokens ADD COLUMN scope TEXT NOT NULL DEFAULT ''; -- separated by blanks; empty for no limit
