package access

import (
	"net/netip"
	"time"

	"github.com/sesame-access/sesame/internal/firewall"
)

// A Lock is the standing state of a just-in-time port: nobody reaches it but
// live grants and exempt sources. It is sticky: it outlives its policy (and is
// then an orphan) and ends only when somebody with the right to unlock disables
// it.
type Lock struct {
	Door   firewall.Door
	Exempt []netip.Prefix // masked, sorted
	// Cut asks that established connections end with their grant.
	Cut bool
	// Proof asks that a grant is opened only where it is proven that it comes
	// through; without it, a way that is not known all along is no obstacle.
	Proof bool
	// Accepts is what may be lost with the lock: it was shown to whoever enabled
	// it, who agreed. Sorted.
	Accepts []firewall.Loss
	// Policy is the name of the policy that brought the lock.
	Policy string
	Since  time.Time
	By     Principal
}
