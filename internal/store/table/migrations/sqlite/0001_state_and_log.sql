-- Times are milliseconds of Unix time and 0 is none; durations are milliseconds;
-- protocols are IP protocol numbers. Lists of prefixes are separated by commas.
-- Tables are strict, so that a row edited by hand cannot hold a value of another
-- type. There are no checks on values: a row that somebody damaged must still be
-- readable, because what it opened must be closed.

-- +goose Up

CREATE TABLE instance (
  one     INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  name    TEXT    NOT NULL,
  created INTEGER NOT NULL,
  rules   INTEGER NOT NULL, -- version of policies, locks, assignments and tokens
  size    INTEGER NOT NULL  -- leaves in the tree
) STRICT;

CREATE TABLE policies (
  name    TEXT    NOT NULL PRIMARY KEY,
  version INTEGER NOT NULL,
  body    TEXT    NOT NULL -- JSON
) STRICT;

CREATE TABLE locks (
  vm       TEXT    NOT NULL,
  port     INTEGER NOT NULL,
  protocol INTEGER NOT NULL,
  exempt   TEXT    NOT NULL,
  cut      INTEGER NOT NULL,
  policy   TEXT    NOT NULL,
  since    INTEGER NOT NULL,
  issuer   TEXT    NOT NULL,
  subject  TEXT    NOT NULL,
  display  TEXT    NOT NULL,
  PRIMARY KEY (vm, port, protocol)
) STRICT;

-- Doors that somebody gave back. A door that is in neither table was never ours,
-- or we have lost our memory of it: then its lock stays.
CREATE TABLE unlocks (
  vm       TEXT    NOT NULL,
  port     INTEGER NOT NULL,
  protocol INTEGER NOT NULL,
  PRIMARY KEY (vm, port, protocol)
) STRICT;

CREATE TABLE assignments (
  issuer  TEXT NOT NULL,
  subject TEXT NOT NULL,
  role    TEXT NOT NULL,
  vm      TEXT NOT NULL, -- empty for all
  display TEXT NOT NULL,
  PRIMARY KEY (issuer, subject, role, vm)
) STRICT;

CREATE TABLE tokens (
  id      TEXT    NOT NULL PRIMARY KEY,
  hash    BLOB    NOT NULL UNIQUE,
  issuer  TEXT    NOT NULL,
  subject TEXT    NOT NULL,
  display TEXT    NOT NULL,
  created INTEGER NOT NULL,
  endless INTEGER NOT NULL, -- 1 when it never expires: no value of expires means that
  expires INTEGER NOT NULL,
  revoked INTEGER NOT NULL
) STRICT;

CREATE TABLE requests (
  id       TEXT    NOT NULL PRIMARY KEY,
  issuer   TEXT    NOT NULL,
  subject  TEXT    NOT NULL,
  display  TEXT    NOT NULL,
  doors    TEXT    NOT NULL, -- separated by blanks
  sources  TEXT    NOT NULL,
  caller   TEXT    NOT NULL,
  start    INTEGER NOT NULL,
  duration INTEGER NOT NULL,
  reason   TEXT    NOT NULL,
  asked    INTEGER NOT NULL,
  allowed  INTEGER NOT NULL,
  decision TEXT    NOT NULL -- JSON: the rest of the decision
) STRICT;
CREATE INDEX requests_newest ON requests (asked, id);
CREATE INDEX requests_of_principal ON requests (issuer, subject, asked, id);

-- Finds the requests that ask for a VM.
CREATE TABLE request_vms (
  vm      TEXT NOT NULL,
  request TEXT NOT NULL REFERENCES requests (id),
  PRIMARY KEY (vm, request)
) STRICT, WITHOUT ROWID;

CREATE TABLE grants (
  id            TEXT    NOT NULL PRIMARY KEY,
  request       TEXT    NOT NULL,
  issuer        TEXT    NOT NULL,
  subject       TEXT    NOT NULL,
  display       TEXT    NOT NULL,
  vm            TEXT    NOT NULL,
  port          INTEGER NOT NULL,
  protocol      INTEGER NOT NULL,
  sources       TEXT    NOT NULL,
  reason        TEXT    NOT NULL,
  policy        TEXT    NOT NULL,
  start         INTEGER NOT NULL,
  created       INTEGER NOT NULL,
  deadline      INTEGER NOT NULL,
  deadline_boot INTEGER NOT NULL,
  boot_id       TEXT    NOT NULL,
  deadline_third INTEGER NOT NULL,
  ended         INTEGER NOT NULL,
  ended_issuer  TEXT    NOT NULL,
  ended_subject TEXT    NOT NULL,
  ended_display TEXT    NOT NULL,
  ended_why     TEXT    NOT NULL,
  epoch         INTEGER NOT NULL,
  opened        INTEGER NOT NULL,
  closed        INTEGER NOT NULL,
  impeded       TEXT    NOT NULL
) STRICT;
CREATE INDEX grants_newest ON grants (created, id);
CREATE INDEX grants_of_principal ON grants (issuer, subject, created, id);
CREATE INDEX grants_of_vm ON grants (vm, created, id);
CREATE INDEX grants_of_request ON grants (request);
CREATE INDEX grants_pending ON grants (id) WHERE closed <= 0;

-- The sources of pending grants only, so that a lookup touches nothing else.
CREATE TABLE grant_sources (
  vm       TEXT    NOT NULL,
  port     INTEGER NOT NULL,
  protocol INTEGER NOT NULL,
  source   TEXT    NOT NULL,
  grant_id TEXT    NOT NULL REFERENCES grants (id),
  PRIMARY KEY (vm, port, protocol, source, grant_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE displaced (
  firewall TEXT NOT NULL,
  change   TEXT NOT NULL, -- JSON
  PRIMARY KEY (firewall, change)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
  issuer  TEXT    NOT NULL,
  subject TEXT    NOT NULL,
  key     TEXT    NOT NULL,
  body    BLOB    NOT NULL,
  request TEXT    NOT NULL,
  at      INTEGER NOT NULL,
  PRIMARY KEY (issuer, subject, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_age ON idempotency (issuer, subject, at);

CREATE TABLE records (
  idx      INTEGER NOT NULL PRIMARY KEY,
  kind     TEXT    NOT NULL,
  time     INTEGER NOT NULL,
  vm       TEXT    NOT NULL,
  request  TEXT    NOT NULL,
  grant_id TEXT    NOT NULL,
  leaf     TEXT    NOT NULL,
  hashes   BLOB    NOT NULL, -- of the subtrees that the leaf completes, from level 0 up
  salt     BLOB    NOT NULL, -- empty when erased
  personal TEXT    NOT NULL  -- empty when erased
) STRICT;
CREATE INDEX records_of_vm ON records (vm, idx) WHERE vm <> '';
CREATE INDEX records_of_request ON records (request, idx) WHERE request <> '';
CREATE INDEX records_of_grant ON records (grant_id, idx) WHERE grant_id <> '';

-- Whom a record is about: who did it, and whose request or grant it concerns.
CREATE TABLE record_subjects (
  issuer  TEXT    NOT NULL,
  subject TEXT    NOT NULL,
  idx     INTEGER NOT NULL REFERENCES records (idx),
  PRIMARY KEY (issuer, subject, idx)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoints (
  size INTEGER NOT NULL PRIMARY KEY,
  note TEXT    NOT NULL
) STRICT;

-- +goose Down

DROP TABLE checkpoints;
DROP TABLE record_subjects;
DROP TABLE records;
DROP TABLE idempotency;
DROP TABLE displaced;
DROP TABLE grant_sources;
DROP TABLE grants;
DROP TABLE request_vms;
DROP TABLE requests;
DROP TABLE tokens;
DROP TABLE assignments;
DROP TABLE unlocks;
DROP TABLE locks;
DROP TABLE policies;
DROP TABLE instance;
