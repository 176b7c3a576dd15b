package provider

import (
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/plan"
)

// An Exporter is a provider whose firewalls others write down in Terraform.
type Exporter interface {
	// Writes reports whether fw may be what part is about, or have it in itself: the
	// id of a VM, of a security group or of a network security group. It is cheap and
	// does no I/O.
	Writes(fw firewall.ID, part string) bool

	// Export returns what code for part has to say so that Terraform and Sesame do
	// not undo each other's work, in the order in which it is read. It is pure, as
	// Compile is. It is nil where s has no such part.
	Export(s Snapshot, part string, displaced []plan.Change) ([]Snippet, error)
}

// A Snippet is what Terraform has to know about one resource of a cloud.
type Snippet struct {
	Firewall firewall.ID
	Resource string // its type in Terraform, such as "aws_security_group"
	ID       string // its id in the cloud
	HCL      string // what to write, with why as comments; it ends with a line end
}
