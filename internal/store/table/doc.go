// Package table is how state lies in the tables of the database: the schema, the
// queries with a fixed text, a struct for each row, and the conversions between
// rows and the values of the domain.
//
// # How rows read that somebody damaged
//
// A row that was edited by hand, or half restored, must not keep a door open,
// and must not keep other rows from being read:
//
//   - A deadline that is zero, negative, beyond the year 9999 or more than a year
//     behind the grant's start has passed. So has one whose boot or third clock
//     is out of range, and that of a grant whose door is no door.
//   - A grant with a damaged ending has ended; one with a damaged closing time is
//     pending.
//   - A source or an exempt prefix that cannot be read is nobody. A lock on what
//     is no door is left out.
//   - A token with a damaged time has expired.
//
// Every other time that is out of range is read as none.
package table

import "embed"

//go:generate go run github.com/sqlc-dev/sqlc/cmd/sqlc@v1.31.1 generate

// Migrations holds the schema's history, a directory for each kind of database.
//
//go:embed migrations
var Migrations embed.FS
