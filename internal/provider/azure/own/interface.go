package own

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
)

// An Interface is a network interface as it was read.
type Interface struct {
	ETag  string
	Group firewall.ID // in lower case; empty for none

	text string
}

// ReadInterface reads the document of an interface. One without an entity tag cannot be
// written.
func ReadInterface(document []byte) (Interface, error) {
	var d struct {
		ETag       string
		Properties struct{ NetworkSecurityGroup struct{ ID string } }
	}
	err := json.Unmarshal(document, &d)
	if err == nil && d.ETag == "" {
		err = errors.New("it has no entity tag")
	}
	if err != nil {
		return Interface{}, fmt.Errorf("read a network interface: %w", err)
	}
	return Interface{ETag: d.ETag, Group: firewall.ID(strings.ToLower(d.Properties.NetworkSecurityGroup.ID)), text: string(document)}, nil
}

// With returns the document of n with another group in front of it, or none, and
// everything else byte for byte.
func (n Interface) With(group firewall.ID) (string, error) {
	value := ""
	if group != "" {
		value = fmt.Sprintf(`{"id":%q}`, group)
	}
	return resource.WithProperty(n.text, "networkSecurityGroup", value)
}
