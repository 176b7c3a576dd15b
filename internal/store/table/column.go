package table

import (
	"context"
	"database/sql"
	"errors"
)

// Column returns the one column of text that a query gives.
func Column(ctx context.Context, tx *sql.Tx, query string, args []any) (out []string, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}
