package table

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"
)

// Establish returns the one row about the database itself, and makes it first
// where there is none.
func (q *Queries) Establish(ctx context.Context, now time.Time) (Instance, error) {
	name := strings.ToLower(rand.Text())[:12]
	if err := q.AddInstance(ctx, AddInstanceParams{Name: name, Created: Millis(now)}); err != nil {
		return Instance{}, fmt.Errorf("write instance: %w", err)
	}
	row, err := q.Instance(ctx)
	if err != nil {
		return Instance{}, fmt.Errorf("read instance: %w", err)
	}
	return row, nil
}
