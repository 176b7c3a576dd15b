-- name: PutIdentity :exec
INSERT INTO identities (issuer, subject, display, kind, groups, seen)
VALUES (sqlc.arg(issuer), sqlc.arg(subject), sqlc.arg(display), sqlc.arg(kind), sqlc.arg(groups), sqlc.arg(seen))
ON CONFLICT (issuer, subject) DO UPDATE SET display = excluded.display, kind = excluded.kind,
  groups = excluded.groups, seen = excluded.seen;

-- name: Identities :many
SELECT * FROM identities ORDER BY issuer, subject;

-- name: Identity :one
SELECT * FROM identities WHERE issuer = sqlc.arg(issuer) AND subject = sqlc.arg(subject);

-- name: PutLink :exec
INSERT INTO links (issuer, subject, display, person, since, by_issuer, by_subject, by_display)
VALUES (sqlc.arg(issuer), sqlc.arg(subject), sqlc.arg(display), sqlc.arg(person), sqlc.arg(since),
  sqlc.arg(by_issuer), sqlc.arg(by_subject), sqlc.arg(by_display))
ON CONFLICT (issuer, subject) DO UPDATE SET display = excluded.display, person = excluded.person,
  since = excluded.since, by_issuer = excluded.by_issuer, by_subject = excluded.by_subject, by_display = excluded.by_display;

-- name: DropLink :execrows
DELETE FROM links WHERE issuer = sqlc.arg(issuer) AND subject = sqlc.arg(subject);

-- name: Links :many
SELECT * FROM links ORDER BY issuer, subject;

-- name: AddSession :execrows
INSERT INTO sessions (id, hash, issuer, subject, display, kind, person, groups, proved, created, seen, ended)
VALUES (sqlc.arg(id), sqlc.arg(hash), sqlc.arg(issuer), sqlc.arg(subject), sqlc.arg(display), sqlc.arg(kind),
  sqlc.arg(person), sqlc.arg(groups), sqlc.arg(proved), sqlc.arg(created), sqlc.arg(seen), 0)
ON CONFLICT DO NOTHING;

-- name: SessionByHash :one
SELECT * FROM sessions WHERE hash = sqlc.arg(hash);

-- name: UseSession :exec
UPDATE sessions SET seen = sqlc.arg(at) WHERE id = sqlc.arg(id) AND seen < sqlc.arg(at) AND ended = 0;

-- name: EndSession :execrows
UPDATE sessions SET ended = sqlc.arg(at) WHERE id = sqlc.arg(id) AND ended = 0;

-- name: EndSessionsOf :exec
UPDATE sessions SET ended = sqlc.arg(at)
WHERE issuer = sqlc.arg(issuer) AND subject = sqlc.arg(subject) AND ended = 0;

-- name: ForgetSessions :exec
DELETE FROM sessions WHERE created < sqlc.arg(before);

-- name: EraseIdentity :exec
DELETE FROM identities WHERE issuer = sqlc.arg(issuer) AND subject = sqlc.arg(subject);

-- name: EraseSessions :exec
DELETE FROM sessions WHERE issuer = sqlc.arg(issuer) AND subject = sqlc.arg(subject);
