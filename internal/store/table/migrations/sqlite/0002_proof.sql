-- A lock may demand that it is proven who comes through before anybody is let in.

-- +goose Up

ALTER TABLE locks ADD COLUMN proof INTEGER NOT NULL DEFAULT 0;
