-- Roles are assigned to principals and to groups, at scopes. A role that was for all
-- VMs is at the scope of everything; the id of a VM is the scope that it is. Beside
-- them there are roles that somebody defined, what is denied, and access policies.

-- +goose Up

CREATE TABLE role_assignments (
  issuer    TEXT    NOT NULL, -- empty for a group
  subject   TEXT    NOT NULL,
  groupname TEXT    NOT NULL, -- ISSUER#GROUP; empty for a principal
  role      TEXT    NOT NULL,
  scope     TEXT    NOT NULL,
  condition TEXT    NOT NULL,
  eligible  INTEGER NOT NULL,
  display   TEXT    NOT NULL,
  PRIMARY KEY (issuer, subject, groupname, role, scope, condition, eligible)
) STRICT, WITHOUT ROWID;
INSERT INTO role_assignments
SELECT issuer, subject, '', role, CASE vm WHEN '' THEN '/' ELSE vm END, '', 0, display FROM assignments;
DROP TABLE assignments;
ALTER TABLE role_assignments RENAME TO assignments;

CREATE TABLE role_definitions (
  name TEXT NOT NULL PRIMARY KEY,
  body TEXT NOT NULL -- JSON
) STRICT, WITHOUT ROWID;

CREATE TABLE denies (
  name TEXT NOT NULL PRIMARY KEY,
  body TEXT NOT NULL -- JSON
) STRICT, WITHOUT ROWID;

CREATE TABLE access_policies (
  name    TEXT    NOT NULL PRIMARY KEY,
  version INTEGER NOT NULL,
  text    TEXT    NOT NULL -- Cedar
) STRICT, WITHOUT ROWID;
