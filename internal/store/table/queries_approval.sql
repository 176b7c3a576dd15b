-- The queries about requests that others have to agree to.

-- name: AddWait :exec
INSERT INTO waits (request, digest, stages, policies, lapses, lapses_boot, boot_id, lapses_third, look)
VALUES (sqlc.arg(request), sqlc.arg(digest), sqlc.arg(stages), sqlc.arg(policies), sqlc.arg(lapses),
  sqlc.arg(lapses_boot), sqlc.arg(boot_id), sqlc.arg(lapses_third), 1);

-- name: Wait :one
SELECT * FROM waits WHERE request = sqlc.arg(request);

-- name: Waits :many
SELECT request FROM waits WHERE look = 1 ORDER BY request;

-- name: LookAway :exec
UPDATE waits SET look = 0 WHERE request = sqlc.arg(request);

-- name: AddVote :execrows
INSERT INTO votes (request, seq, choice, stage, person, issuer, subject, display, comment, digest, at)
SELECT CAST(sqlc.arg(request) AS TEXT), CAST(sqlc.arg(seq) AS INTEGER), CAST(sqlc.arg(choice) AS TEXT),
  CAST(sqlc.arg(stage) AS TEXT), CAST(sqlc.arg(person) AS TEXT), CAST(sqlc.arg(issuer) AS TEXT),
  CAST(sqlc.arg(subject) AS TEXT), CAST(sqlc.arg(display) AS TEXT), CAST(sqlc.arg(comment) AS TEXT),
  CAST(sqlc.arg(digest) AS BLOB), CAST(sqlc.arg(at) AS INTEGER)
WHERE (SELECT count(*) FROM votes WHERE votes.request = sqlc.arg(request)) = sqlc.arg(seq)
ON CONFLICT DO NOTHING;

-- name: Reviewed :exec
UPDATE requests SET glass = 2 WHERE id = sqlc.arg(request) AND glass = 1;

-- name: Votes :many
SELECT * FROM votes WHERE request = sqlc.arg(request) ORDER BY seq;

-- name: EraseVotes :exec
UPDATE votes SET person = 'erased-' || seq, issuer = 'erased', subject = 'erased-' || seq, display = '', comment = ''
WHERE votes.issuer = sqlc.arg(issuer) AND votes.subject = sqlc.arg(subject)
  AND NOT EXISTS (SELECT 1 FROM waits AS w WHERE w.request = votes.request AND w.look = 1);

-- name: AskedSince :one
SELECT count(*) FROM requests
WHERE requests.issuer = sqlc.arg(issuer) AND requests.subject = sqlc.arg(subject) AND requests.asked > sqlc.arg(since)
  AND EXISTS (SELECT 1 FROM waits AS w WHERE w.request = requests.id);

-- name: LiveOf :one
SELECT count(*) FROM grants WHERE issuer = sqlc.arg(issuer) AND subject = sqlc.arg(subject) AND closed <= 0;

-- name: Unreviewed :many
SELECT requests.id FROM requests
WHERE requests.glass = 1 AND requests.allowed = 1 AND requests.issuer = sqlc.arg(issuer)
  AND requests.subject = sqlc.arg(subject)
ORDER BY requests.asked, requests.id;
