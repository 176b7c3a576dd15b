-- name: AddAssignment :exec
INSERT INTO assignments (issuer, subject, groupname, role, scope, condition, eligible, display)
VALUES (sqlc.arg(issuer), sqlc.arg(subject), sqlc.arg(groupname), sqlc.arg(role), sqlc.arg(scope), sqlc.arg(condition),
  sqlc.arg(eligible), sqlc.arg(display))
ON CONFLICT DO NOTHING;

-- name: DropAssignment :execrows
DELETE FROM assignments
WHERE issuer = sqlc.arg(issuer) AND subject = sqlc.arg(subject) AND groupname = sqlc.arg(groupname) AND role = sqlc.arg(role)
  AND scope = sqlc.arg(scope) AND condition = sqlc.arg(condition) AND eligible = sqlc.arg(eligible);

-- name: Assignments :many
SELECT * FROM assignments ORDER BY issuer, subject, groupname, role, scope, condition, eligible;

-- name: PutRoleDefinition :exec
INSERT INTO role_definitions (name, body) VALUES (sqlc.arg(name), sqlc.arg(body))
ON CONFLICT (name) DO UPDATE SET body = excluded.body;

-- name: DropRoleDefinition :execrows
DELETE FROM role_definitions WHERE name = sqlc.arg(name);

-- name: RoleDefinitions :many
SELECT * FROM role_definitions ORDER BY name;

-- name: PutDeny :exec
INSERT INTO denies (name, body) VALUES (sqlc.arg(name), sqlc.arg(body))
ON CONFLICT (name) DO UPDATE SET body = excluded.body;

-- name: DropDeny :execrows
DELETE FROM denies WHERE name = sqlc.arg(name);

-- name: Denies :many
SELECT * FROM denies ORDER BY name;

-- name: PutAccessPolicy :exec
INSERT INTO access_policies (name, version, text) VALUES (sqlc.arg(name), 1, sqlc.arg(text))
ON CONFLICT (name) DO UPDATE SET version = access_policies.version + 1, text = excluded.text;

-- name: DropAccessPolicy :execrows
DELETE FROM access_policies WHERE name = sqlc.arg(name);

-- name: AccessPolicies :many
SELECT * FROM access_policies ORDER BY name;
