package simtest

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/sesame-access/sesame/internal/broker"
	"github.com/sesame-access/sesame/internal/fleet"
)

// ErrDead is what a call of a dead process comes to. Nobody is there to see it.
var ErrDead = errors.New("simtest: the process is dead")

// A Death says when a process dies: at its nth call to a firewall, an inventory
// or the database from now on, before the call or after it has taken effect.
type Death struct {
	At    int // 1 is the next call
	After bool
}

// A process is one life of Sesame.
type process struct {
	fleet  *fleet.Fleet
	broker *broker.Broker
	cancel context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex
	dead    bool
	calls   int // so far
	death   Death
	until   int // calls until between is done
	between func()
}

// call makes a call to the world outside, unless the process is dead, and dies
// where that is its fate.
func (p *process) call(effect func() error) error {
	p.mu.Lock()
	p.calls++
	if p.until--; p.until == 0 {
		p.mu.Unlock()
		p.between()
		p.mu.Lock()
	}
	fated := false
	if p.death.At > 0 {
		p.death.At--
		fated = p.death.At == 0
	}
	if fated && !p.death.After {
		p.die()
	}
	dead := p.dead
	p.mu.Unlock()
	if dead {
		return ErrDead
	}
	err := effect()
	p.mu.Lock()
	defer p.mu.Unlock()
	if fated {
		p.die()
	}
	if p.dead {
		return ErrDead
	}
	return err
}

// die ends the process. p.mu is held.
func (p *process) die() {
	p.dead = true
	p.cancel()
}

// get is call for a call that returns something.
func get[T any](p *process, effect func() (T, error)) (out T, err error) {
	err = p.call(func() (err error) {
		out, err = effect()
		return err
	})
	if err != nil && errors.Is(err, ErrDead) {
		var none T
		return none, err
	}
	return out, err
}

// start makes a process of an installation and lets it run.
func start(ctx context.Context, i *Installation) *process {
	ctx, cancel := context.WithCancel(ctx)
	p := &process{cancel: cancel, ended: make(chan struct{})}
	book := ledger{process: p, disk: &i.Disk, store: i.store}
	lost, err := i.loss(ctx)
	if err != nil {
		panic(err) // the database itself, without any fault, cannot be read
	}
	p.fleet = fleet.New(fleet.Config{
		Book: book, Providers: i.reached(p), Clocks: i.Clocks.Read, Loss: lost, Log: slog.New(slog.DiscardHandler),
	})
	p.broker = broker.New(broker.Config{
		Ledger: book, Enforcer: p.fleet, Clocks: p.fleet.Clocks, NewID: i.newID, Log: slog.New(slog.DiscardHandler),
	})
	go func() {
		defer close(p.ended)
		p.fleet.Run(ctx)
	}()
	return p
}
