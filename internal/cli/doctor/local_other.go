//go:build !linux

package doctor

// Local tries what the daemon and the demo need of this machine.
func Local(tell func(Check)) {
	tell(Check{"kernel", Skip, "only Linux hosts can be protected; a server elsewhere and the demo in memory work", ""})
}
