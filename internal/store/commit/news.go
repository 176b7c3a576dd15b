package commit

import "sync"

// News tells followers that something has changed. Nobody has to listen. The
// zero News is ready.
type News struct {
	mu      sync.Mutex
	waiting chan struct{} // closed at the next change; nil while nobody waits
	over    bool          // there will be no more news
}

// Next returns a channel that is closed at the next change, or at the end.
func (n *News) Next() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.waiting == nil {
		n.waiting = make(chan struct{})
		if n.over {
			close(n.waiting)
		}
	}
	return n.waiting
}

// Tell wakes everybody who waits.
func (n *News) Tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.waiting != nil && !n.over {
		close(n.waiting)
		n.waiting = nil
	}
}

// End wakes everybody who waits, or ever will.
func (n *News) End() {
	n.Tell()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.over = true
}
