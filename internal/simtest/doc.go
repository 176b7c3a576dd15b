// Package simtest is a simulated world: whole installations of Sesame, with
// their real broker, fleet and SQLite store, in front of simulated firewalls, on
// a machine whose clocks, power and disk can be broken. It has no part in the
// product.
//
// Everything happens in a synctest bubble, so that a month takes no longer than
// its work. The bubble's clock is the true time. What a machine believes the
// time to be is up to its [Clocks], which can be set, put to sleep and rebooted.
//
// An [Installation] survives its processes. A process dies between two calls to
// the world outside, or in the middle of one: from then on no call of it reaches
// a firewall or the database, whatever it still believes it is doing. That is
// all that a crash can do to others.
//
// # The simulation
//
// TestSimulation draws histories: requests, closes, extensions, locks that come
// and go, faults of every kind, hands that meddle with the firewalls, failing
// disks, crashes at any call, clocks that jump, backups that come back. After
// every step, and for every single write in between, the packet test of the
// simulated firewalls, which does not use the reach engine, says who gets in:
//
//   - Through a door that was read back locked gets nobody but exempt sources
//     and the sources of grants, as long as no hand has undone the lock.
//   - A minute after the firewalls answer again and hands are off, nobody gets
//     in whose grant has ended, by true time, and everybody does whose grant
//     lives.
//   - Every opening of ours has a grant in the database that it is exactly for,
//     and lasts no longer. None is written for a grant that has ended.
//   - What the database says was read back closed is closed.
//   - Foreign rules are byte for byte what their owners wrote; what a lock had
//     to displace is stored whole.
//   - The audit log is contiguous, verifies, and makes sense.
//   - Once everything is healed and has settled, there is nothing left to do,
//     and every grant ends closed.
//
// SESAME_SIM_SEED picks the histories and SESAME_SIM_TIME says for how long. The
// same world plays the scripts of package reconcile.
package simtest
