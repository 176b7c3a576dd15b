package ground

// stageFlusher is what the flusher is called, in place of the program's name.
const stageFlusher = "sesame-demo-flusher"

// Stage takes over when this process was started to be the somebody who flushes
// a VM's rules. It reports whether it did, and with which error.
func Stage(args []string) (ran bool, err error) {
	if len(args) != 1 || args[0] != stageFlusher {
		return false, nil
	}
	return true, flushRules()
}
