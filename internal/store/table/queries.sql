-- The queries that have a fixed text. They are written for SQLite and PostgreSQL
-- alike. Lists with filters are put together in package store.

-- name: AddInstance :exec
INSERT INTO instance (one, name, created, rules, size) VALUES (1, sqlc.arg(name), sqlc.arg(created), 1, 0)
ON CONFLICT DO NOTHING;

-- name: Instance :one
SELECT * FROM instance;

-- name: Rules :one
SELECT rules FROM instance;

-- name: SetInstance :exec
UPDATE instance SET rules = sqlc.arg(rules), size = sqlc.arg(size);

-- name: PutPolicy :exec
INSERT INTO policies (name, version, body) VALUES (sqlc.arg(name), 1, sqlc.arg(body))
ON CONFLICT (name) DO UPDATE SET version = policies.version + 1, body = excluded.body;

-- name: DropPolicy :execrows
DELETE FROM policies WHERE name = sqlc.arg(name);

-- name: Policies :many
SELECT * FROM policies ORDER BY name;

-- name: PutLock :exec
INSERT INTO locks (vm, port, protocol, exempt, cut, policy, since, issuer, subject, display, proof, accepts)
VALUES (sqlc.arg(vm), sqlc.arg(port), sqlc.arg(protocol), sqlc.arg(exempt), sqlc.arg(cut), sqlc.arg(policy),
  sqlc.arg(since), sqlc.arg(issuer), sqlc.arg(subject), sqlc.arg(display), sqlc.arg(proof), sqlc.arg(accepts))
ON CONFLICT (vm, port, protocol) DO UPDATE SET exempt = excluded.exempt, cut = excluded.cut,
  policy = excluded.policy, since = excluded.since, issuer = excluded.issuer, subject = excluded.subject,
  display = excluded.display, proof = excluded.proof, accepts = excluded.accepts;

-- name: DropLock :execrows
DELETE FROM locks WHERE vm = sqlc.arg(vm) AND port = sqlc.arg(port) AND protocol = sqlc.arg(protocol);

-- name: Locks :many
SELECT * FROM locks ORDER BY vm, port, protocol;

-- name: PutUnlock :exec
INSERT INTO unlocks (vm, port, protocol) VALUES (sqlc.arg(vm), sqlc.arg(port), sqlc.arg(protocol))
ON CONFLICT DO NOTHING;

-- name: DropUnlock :exec
DELETE FROM unlocks WHERE vm = sqlc.arg(vm) AND port = sqlc.arg(port) AND protocol = sqlc.arg(protocol);

-- name: Unlocks :many
SELECT * FROM unlocks ORDER BY vm, port, protocol;

-- name: AddToken :execrows
INSERT INTO tokens (id, hash, issuer, subject, display, created, endless, expires, revoked, person, code, scope)
VALUES (sqlc.arg(id), sqlc.arg(hash), sqlc.arg(issuer), sqlc.arg(subject), sqlc.arg(display), sqlc.arg(created),
  sqlc.arg(endless), sqlc.arg(expires), sqlc.arg(revoked), sqlc.arg(person), sqlc.arg(code), sqlc.arg(scope))
ON CONFLICT DO NOTHING;

-- name: RevokeToken :execrows
UPDATE tokens SET revoked = sqlc.arg(at) WHERE id = sqlc.arg(id) AND revoked = 0;

-- name: Tokens :many
SELECT * FROM tokens ORDER BY id;

-- name: AddRequest :execrows
INSERT INTO requests (id, issuer, subject, display, doors, sources, caller, start, duration, reason, asked, allowed, decision, until, ticket, glass)
VALUES (sqlc.arg(id), sqlc.arg(issuer), sqlc.arg(subject), sqlc.arg(display), sqlc.arg(doors),
  sqlc.arg(sources), sqlc.arg(caller),
  sqlc.arg(start), sqlc.arg(duration), sqlc.arg(reason), sqlc.arg(asked), sqlc.arg(allowed), sqlc.arg(decision),
  sqlc.arg(until), sqlc.arg(ticket), sqlc.arg(glass))
ON CONFLICT DO NOTHING;

-- name: AddRequestVM :exec
INSERT INTO request_vms (vm, request) VALUES (sqlc.arg(vm), sqlc.arg(request)) ON CONFLICT DO NOTHING;

-- name: Request :one
SELECT * FROM requests WHERE id = sqlc.arg(id);

-- name: AddGrant :execrows
INSERT INTO grants (id, request, issuer, subject, display, vm, port, protocol, sources, reason, policy, start, created,
  deadline, deadline_boot, boot_id, deadline_third, ended, ended_issuer, ended_subject, ended_display, ended_why, epoch,
  opened, closed, impeded)
VALUES (sqlc.arg(id), sqlc.arg(request), sqlc.arg(issuer), sqlc.arg(subject), sqlc.arg(display), sqlc.arg(vm),
  sqlc.arg(port), sqlc.arg(protocol), sqlc.arg(sources), sqlc.arg(reason), sqlc.arg(policy), sqlc.arg(start),
  sqlc.arg(created), sqlc.arg(deadline), sqlc.arg(deadline_boot), sqlc.arg(boot_id), sqlc.arg(deadline_third),
  sqlc.arg(ended), sqlc.arg(ended_issuer), sqlc.arg(ended_subject), sqlc.arg(ended_display), sqlc.arg(ended_why),
  sqlc.arg(epoch), sqlc.arg(opened), sqlc.arg(closed), sqlc.arg(impeded))
ON CONFLICT DO NOTHING;

-- name: AddGrantSource :exec
INSERT INTO grant_sources (vm, port, protocol, source, grant_id)
VALUES (sqlc.arg(vm), sqlc.arg(port), sqlc.arg(protocol), sqlc.arg(source), sqlc.arg(grant_id))
ON CONFLICT DO NOTHING;

-- name: DropGrantSource :exec
DELETE FROM grant_sources
WHERE vm = sqlc.arg(vm) AND port = sqlc.arg(port) AND protocol = sqlc.arg(protocol) AND source = sqlc.arg(source)
  AND grant_id = sqlc.arg(grant_id);

-- name: MoveDeadline :execrows
UPDATE grants SET deadline = sqlc.arg(deadline), deadline_boot = sqlc.arg(deadline_boot), boot_id = sqlc.arg(boot_id),
  deadline_third = sqlc.arg(deadline_third), epoch = epoch + 1
WHERE id = sqlc.arg(id) AND epoch = sqlc.arg(epoch) AND ended = 0 AND closed = 0;

-- name: EndGrant :execrows
UPDATE grants SET ended = sqlc.arg(ended), ended_issuer = sqlc.arg(ended_issuer),
  ended_subject = sqlc.arg(ended_subject), ended_display = sqlc.arg(ended_display), ended_why = sqlc.arg(ended_why),
  epoch = epoch + 1
WHERE id = sqlc.arg(id) AND epoch = sqlc.arg(epoch) AND ended = 0 AND closed = 0;

-- name: SetOpened :execrows
UPDATE grants SET opened = CASE WHEN opened <= 0 THEN sqlc.arg(at) ELSE opened END,
  impeded = CASE WHEN CAST(sqlc.arg(epoch) AS INTEGER) = 0 OR epoch = sqlc.arg(epoch) THEN '' ELSE impeded END
WHERE id = sqlc.arg(id) AND closed = 0
  AND (opened <= 0 OR impeded <> '' AND (CAST(sqlc.arg(epoch) AS INTEGER) = 0 OR epoch = sqlc.arg(epoch)));

-- name: SetImpeded :execrows
UPDATE grants SET impeded = sqlc.arg(impeded)
WHERE id = sqlc.arg(id) AND (CAST(sqlc.arg(epoch) AS INTEGER) = 0 OR epoch = sqlc.arg(epoch)) AND closed = 0
  AND impeded <> sqlc.arg(impeded);

-- name: SetClosed :execrows
UPDATE grants SET closed = sqlc.arg(at), impeded = ''
WHERE id = sqlc.arg(id) AND (CAST(sqlc.arg(epoch) AS INTEGER) = 0 OR epoch = sqlc.arg(epoch)) AND closed <= 0;

-- name: Grant :one
SELECT * FROM grants WHERE id = sqlc.arg(id);

-- name: PendingGrants :many
SELECT * FROM grants WHERE closed <= 0 ORDER BY id;

-- name: PendingOf :many
SELECT grants.* FROM grant_sources JOIN grants ON grants.id = grant_sources.grant_id
WHERE grant_sources.vm = sqlc.arg(vm) AND grants.closed <= 0;

-- name: GrantsAt :many
SELECT grants.* FROM grant_sources JOIN grants ON grants.id = grant_sources.grant_id
WHERE grant_sources.vm = sqlc.arg(vm) AND grant_sources.port = sqlc.arg(port)
  AND grant_sources.protocol = sqlc.arg(protocol) AND grant_sources.source = sqlc.arg(source)
  AND grants.closed <= 0;

-- name: Epoch :one
SELECT epoch FROM grants WHERE id = sqlc.arg(id) AND closed <= 0;

-- name: Owner :one
SELECT grants.issuer, grants.subject FROM grants WHERE grants.id = sqlc.arg(grant_id)
UNION ALL
SELECT requests.issuer, requests.subject FROM requests WHERE requests.id = sqlc.arg(request)
LIMIT 1;

-- name: AddDisplaced :exec
INSERT INTO displaced (firewall, change, rule, since)
VALUES (sqlc.arg(firewall), sqlc.arg(change), sqlc.arg(rule), sqlc.arg(since)) ON CONFLICT DO NOTHING;

-- name: SupersedeDisplaced :exec
DELETE FROM displaced
WHERE firewall = sqlc.arg(firewall) AND rule = sqlc.arg(rule) AND rule <> '' AND change <> sqlc.arg(change);

-- name: DropDisplaced :exec
DELETE FROM displaced WHERE firewall = sqlc.arg(firewall) AND change = sqlc.arg(change);

-- name: Displaced :many
SELECT * FROM displaced WHERE firewall = sqlc.arg(firewall);

-- name: SomeDisplaced :one
SELECT CAST(count(*) AS INTEGER) FROM (SELECT 1 FROM displaced LIMIT 1);

-- name: AddIdempotency :execrows
INSERT INTO idempotency (issuer, subject, key, body, request, at)
VALUES (sqlc.arg(issuer), sqlc.arg(subject), sqlc.arg(key), sqlc.arg(body), sqlc.arg(request), sqlc.arg(at))
ON CONFLICT DO NOTHING;

-- name: ForgetIdempotency :exec
DELETE FROM idempotency
WHERE issuer = sqlc.arg(issuer) AND subject = sqlc.arg(subject) AND at < sqlc.arg(before);

-- name: Idempotency :one
SELECT * FROM idempotency
WHERE issuer = sqlc.arg(issuer) AND subject = sqlc.arg(subject) AND key = sqlc.arg(key);

-- name: AddRecord :exec
INSERT INTO records (idx, kind, time, vm, request, grant_id, leaf, hashes, salt, personal)
VALUES (sqlc.arg(idx), sqlc.arg(kind), sqlc.arg(time), sqlc.arg(vm), sqlc.arg(request), sqlc.arg(grant_id),
  sqlc.arg(leaf), sqlc.arg(hashes), sqlc.arg(salt), sqlc.arg(personal));

-- name: AddRecordSubject :exec
INSERT INTO record_subjects (issuer, subject, idx) VALUES (sqlc.arg(issuer), sqlc.arg(subject), sqlc.arg(idx))
ON CONFLICT DO NOTHING;

-- name: RecordsFrom :many
SELECT * FROM records WHERE idx >= sqlc.arg(idx) ORDER BY idx LIMIT sqlc.arg(most);

-- name: RecordCount :one
SELECT count(*) AS records, CAST(coalesce(max(idx), -1) AS INTEGER) AS newest FROM records;

-- name: RecordsAbout :many
SELECT idx FROM record_subjects WHERE issuer = sqlc.arg(issuer) AND subject = sqlc.arg(subject);

-- name: EraseRecord :exec
UPDATE records SET salt = sqlc.arg(salt), personal = '' WHERE idx = sqlc.arg(idx);

-- name: EraseRecordSubjects :exec
DELETE FROM record_subjects WHERE idx = sqlc.arg(idx);

-- name: EraseSubject :exec
DELETE FROM record_subjects WHERE issuer = sqlc.arg(issuer) AND subject = sqlc.arg(subject);

-- name: EraseGrants :exec
UPDATE grants SET issuer = 'erased', subject = '', display = '', sources = '', reason = ''
WHERE issuer = sqlc.arg(issuer) AND subject = sqlc.arg(subject) AND closed > 0;

-- name: EraseEndings :exec
UPDATE grants SET ended_issuer = 'erased', ended_subject = '', ended_display = ''
WHERE ended_issuer = sqlc.arg(issuer) AND ended_subject = sqlc.arg(subject) AND closed > 0;

-- name: EraseRequests :exec
UPDATE requests SET issuer = 'erased', subject = '', display = '', sources = '', caller = '', reason = '', ticket = '',
  glass = CASE glass WHEN 1 THEN 2 ELSE glass END,
  decision = CASE WHEN decision LIKE '{"needs_approval":true%' THEN '{"needs_approval":true}' ELSE '{}' END
WHERE requests.issuer = sqlc.arg(issuer) AND requests.subject = sqlc.arg(subject)
  AND NOT EXISTS (SELECT 1 FROM grants AS g WHERE g.request = requests.id AND g.closed <= 0);

-- name: EraseIdempotency :exec
DELETE FROM idempotency WHERE issuer = sqlc.arg(issuer) AND subject = sqlc.arg(subject);

-- name: Hashes :one
SELECT hashes FROM records WHERE idx = sqlc.arg(idx);

-- name: AddCheckpoint :exec
INSERT INTO checkpoints (size, note) VALUES (sqlc.arg(size), sqlc.arg(note)) ON CONFLICT DO NOTHING;

-- name: Checkpoints :many
SELECT * FROM checkpoints ORDER BY size;
