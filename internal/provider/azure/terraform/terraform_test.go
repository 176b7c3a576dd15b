package terraform_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/dialect"
	"github.com/sesame-access/sesame/internal/provider/azure/nsg/resource"
	"github.com/sesame-access/sesame/internal/provider/azure/terraform"
	"github.com/sesame-access/sesame/internal/provider/hcl/hcltest"
)

const (
	group = "/subscriptions/5E/resourceGroups/Prod-RG/providers/Microsoft.Network/networkSecurityGroups/Web-NSG"
	vm    = "/subscriptions/5e/resourceGroups/prod-rg/providers/Microsoft.Compute/virtualMachines/web-1"
)

// document is a group with rules of every kind: ours, another installation's, one
// that nobody understands, and foreign ones of all shapes.
const document = `{"id": "` + group + `", "etag": "W/\"1\"", "location": "westeurope", "properties": {"provisioningState": "Succeeded", "securityRules": [
 {"name": "Sesame-live-lock-web-1", "properties": {"priority": 3500, "direction": "Inbound", "access": "Deny", "protocol": "*", "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "10.0.0.4", "destinationPortRange": "22"}},
 {"name": "sesame-staging-open", "properties": {"priority": 200, "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "sourceAddressPrefix": "203.0.113.5", "sourcePortRange": "*", "destinationAddressPrefix": "10.0.0.4", "destinationPortRange": "22"}},
 {"name": "out", "properties": {"priority": 100, "direction": "Outbound", "access": "deny", "protocol": "UDP", "sourceAddressPrefix": "VirtualNetwork", "sourcePortRange": "*", "destinationAddressPrefix": "Internet", "destinationPortRange": "53"}},
 {"name": "AllowWeb", "properties": {"priority": 120, "direction": "inbound", "access": "Allow", "protocol": "TCP", "description": "for ${everybody}", "sourceAddressPrefix": "", "sourceAddressPrefixes": ["198.51.100.0/24", "AzureCloud.WestEurope"], "sourcePortRange": "*", "sourcePortRanges": [], "destinationApplicationSecurityGroups": [{"id": "/subscriptions/5E/resourceGroups/Prod-RG/providers/Microsoft.Network/applicationSecurityGroups/Web"}], "destinationPortRanges": ["80", "443-444"], "futureField": {"a": 1}}},
 {"name": "odd", "properties": {"priority": 130, "direction": "Inbound", "access": "Allow", "protocol": "sctp", "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "*"}}
]}}`

func reading(t *testing.T) dialect.Reading {
	t.Helper()
	g, err := resource.Parse([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return dialect.Reading{Group: g, Attachments: []dialect.Attachment{{VM: firewall.VMID(strings.ToLower(vm)), Subnet: g}}}
}

const want = `# Sesame writes rules of its own into Web-NSG: locks, and who is let in. Code with its rules inline
# deletes them at each apply: take the security_rule blocks out of it, have it ignore what is there,
# and keep the rules below instead.
# Not below, write it yourself: odd, because it is not understood: protocol "sctp" is not known.
resource "azurerm_network_security_group" "Web-NSG" {
  lifecycle {
    ignore_changes = [security_rule]
  }
}

import {
  to = azurerm_network_security_rule.Web-NSG_AllowWeb
  id = "` + group + `/securityRules/AllowWeb"
}

resource "azurerm_network_security_rule" "Web-NSG_AllowWeb" {
  resource_group_name                        = "Prod-RG"
  network_security_group_name                = "Web-NSG"
  name                                       = "AllowWeb"
  priority                                   = 120
  direction                                  = "Inbound"
  access                                     = "Allow"
  protocol                                   = "Tcp"
  source_address_prefixes                    = ["198.51.100.0/24", "AzureCloud.WestEurope"]
  source_port_range                          = "*"
  destination_application_security_group_ids = ["/subscriptions/5E/resourceGroups/Prod-RG/providers/Microsoft.Network/applicationSecurityGroups/Web"]
  destination_port_ranges                    = ["80", "443-444"]
  description                                = "for $${everybody}"
}

import {
  to = azurerm_network_security_rule.Web-NSG_out
  id = "` + group + `/securityRules/out"
}

resource "azurerm_network_security_rule" "Web-NSG_out" {
  resource_group_name         = "Prod-RG"
  network_security_group_name = "Web-NSG"
  name                        = "out"
  priority                    = 100
  direction                   = "Outbound"
  access                      = "Deny"
  protocol                    = "Udp"
  source_address_prefix       = "VirtualNetwork"
  source_port_range           = "*"
  destination_address_prefix  = "Internet"
  destination_port_range      = "53"
}
`

// What others have in a group is written whole, in the case in which it was read,
// and nothing of any installation of Sesame.
func TestGroup(t *testing.T) {
	for _, part := range []string{group, strings.ToLower(group), vm} {
		got, err := terraform.Of(reading(t), part)
		if err != nil {
			t.Fatal(err)
		}
		one := []provider.Snippet{{Firewall: firewall.ID(strings.ToLower(group)), Resource: "azurerm_network_security_group", ID: group, HCL: want}}
		if diff := cmp.Diff(one, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", part, diff)
		}
	}
	hcltest.Formatted(t, want)
}

func TestNobody(t *testing.T) {
	for _, part := range []string{"", group + "2", vm + "1"} {
		if got, err := terraform.Of(reading(t), part); err != nil || got != nil {
			t.Errorf("%q is %+v, %v", part, got, err)
		}
	}
}
