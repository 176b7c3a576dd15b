-- Requests and grants lie in the order of their ids, which their rows are found by:
-- a row is one page to write, not one of a table and one of an index. And what a
-- grant did is found through its request, which every record about it names.

-- +goose Up

CREATE TABLE requests_by_id (
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
) STRICT, WITHOUT ROWID;
INSERT INTO requests_by_id SELECT * FROM requests;
CREATE TABLE request_vms_by_id (
  vm      TEXT NOT NULL,
  request TEXT NOT NULL REFERENCES requests_by_id (id),
  PRIMARY KEY (vm, request)
) STRICT, WITHOUT ROWID;
INSERT INTO request_vms_by_id SELECT * FROM request_vms;
DROP TABLE request_vms;
DROP TABLE requests;
ALTER TABLE requests_by_id RENAME TO requests;
ALTER TABLE request_vms_by_id RENAME TO request_vms;
CREATE INDEX requests_newest ON requests (asked, id);
CREATE INDEX requests_of_principal ON requests (issuer, subject, asked, id);

CREATE TABLE grants_by_id (
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
) STRICT, WITHOUT ROWID;
INSERT INTO grants_by_id SELECT * FROM grants;
CREATE TABLE grant_sources_by_id (
  vm       TEXT    NOT NULL,
  port     INTEGER NOT NULL,
  protocol INTEGER NOT NULL,
  source   TEXT    NOT NULL,
  grant_id TEXT    NOT NULL REFERENCES grants_by_id (id),
  PRIMARY KEY (vm, port, protocol, source, grant_id)
) STRICT, WITHOUT ROWID;
INSERT INTO grant_sources_by_id SELECT * FROM grant_sources;
DROP TABLE grant_sources;
DROP TABLE grants;
ALTER TABLE grants_by_id RENAME TO grants;
ALTER TABLE grant_sources_by_id RENAME TO grant_sources;
CREATE INDEX grants_newest ON grants (created, id);
CREATE INDEX grants_of_principal ON grants (issuer, subject, created, id);
CREATE INDEX grants_of_vm ON grants (vm, created, id);
CREATE INDEX grants_of_request ON grants (request);
CREATE INDEX grants_pending ON grants (id) WHERE closed <= 0;

DROP INDEX records_of_grant;
