package table

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"
)

// Establish returns the one row about the database itself, and whether foreign
// rules are displaced. A new database is called name, or something random where
// that is empty. What is there must be whole.
func (q *Queries) Establish(ctx context.Context, now time.Time, name string) (row Instance, displaced bool, err error) {
	name = cmp.Or(name, strings.ToLower(rand.Text())[:12])
	if err := q.AddInstance(ctx, AddInstanceParams{Name: name, Created: Millis(now)}); err != nil {
		return Instance{}, false, fmt.Errorf("write instance: %w", err)
	}
	if row, err = q.Instance(ctx); err != nil {
		return Instance{}, false, fmt.Errorf("read instance: %w", err)
	}
	some, err := q.SomeDisplaced(ctx)
	if err != nil {
		return Instance{}, false, fmt.Errorf("look for displaced rules: %w", err)
	}
	return row, some > 0, q.checkLog(ctx, row.Size)
}
