-- What may be lost with a lock, since somebody agreed to it; and of a displaced
-- rule what it is called, so that a newer version supersedes an older one, and
-- when it was taken out.

-- +goose Up

ALTER TABLE locks ADD COLUMN accepts TEXT NOT NULL DEFAULT ''; -- JSON
ALTER TABLE displaced ADD COLUMN rule TEXT NOT NULL DEFAULT '';
ALTER TABLE displaced ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
