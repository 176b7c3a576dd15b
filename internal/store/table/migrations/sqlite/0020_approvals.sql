-- Requests that others have to agree to, what was said about them, and tokens that
-- are good for one emergency.

-- +goose Up

ALTER TABLE requests ADD COLUMN until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN ticket TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN glass INTEGER NOT NULL DEFAULT 0; -- 1 for an emergency, 2 for one that was reviewed
-- Nobody has a second emergency before the first was reviewed, however many ask at once.
CREATE UNIQUE INDEX requests_glass ON requests (issuer, subject) WHERE glass = 1 AND allowed = 1;

-- What a request waits for.
CREATE TABLE waits (
  request      TEXT    NOT NULL PRIMARY KEY REFERENCES requests (id),
  digest       BLOB    NOT NULL,
  stages       TEXT    NOT NULL, -- JSON
  policies     TEXT    NOT NULL, -- JSON
  lapses       INTEGER NOT NULL,
  lapses_boot  INTEGER NOT NULL,
  boot_id      TEXT    NOT NULL,
  lapses_third INTEGER NOT NULL,
  -- 1 while somebody may have something to decide. It only says where to look: how a
  -- request stands follows from its votes.
  look         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX waits_look ON waits (request) WHERE look = 1;

-- The votes of a request are numbered from 0, without gaps: of two that are cast at
-- once, one was first.
CREATE TABLE votes (
  request TEXT    NOT NULL REFERENCES requests (id),
  seq     INTEGER NOT NULL,
  choice  TEXT    NOT NULL,
  stage   TEXT    NOT NULL,
  person  TEXT    NOT NULL,
  issuer  TEXT    NOT NULL,
  subject TEXT    NOT NULL,
  display TEXT    NOT NULL,
  comment TEXT    NOT NULL,
  digest  BLOB    NOT NULL,
  at      INTEGER NOT NULL,
  PRIMARY KEY (request, seq)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX votes_once ON votes (request, person) WHERE choice = 'approve';
CREATE INDEX votes_by ON votes (issuer, subject);

CREATE INDEX grants_pending_of_principal ON grants (issuer, subject) WHERE closed <= 0;

ALTER TABLE tokens ADD COLUMN person TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN code INTEGER NOT NULL DEFAULT 0; -- 1 when it is good for one emergency

-- +goose Down

ALTER TABLE tokens DROP COLUMN code;
ALTER TABLE tokens DROP COLUMN person;
DROP INDEX grants_pending_of_principal;
DROP TABLE votes;
DROP TABLE waits;
DROP INDEX requests_glass;
ALTER TABLE requests DROP COLUMN glass;
ALTER TABLE requests DROP COLUMN ticket;
ALTER TABLE requests DROP COLUMN until;
