package firewall

import (
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/errkind"
)

// VMID names a virtual machine by its cloud's own id, in its canonical form:
//
//	host://NAME                                    a Linux host
//	arn:PARTITION:ec2:REGION:ACCOUNT:instance/ID   an EC2 instance
//	/subscriptions/…/virtualmachines/NAME          an Azure virtual machine
//
// Azure takes its ids in upper and lower case alike and gives them out in either.
// Here they are lower case throughout, so that ids can be compared as they are and
// one VM never has two doors; what people call the VM is in the inventory, as it
// was given. The others have one form only.
type VMID string

const hostScheme = "host://"

// HostVM returns the id of the Linux host called name.
func HostVM(name string) VMID { return VMID(hostScheme + name) }

// ParseVMID reads the id of a VM. Of an Azure id it takes every spelling and
// returns the canonical one; of the others it accepts exactly the canonical form.
func ParseVMID(s string) (VMID, error) {
	const (
		wantHost  = "the id of a host, such as host://web-1"
		wantARN   = "the ARN of an EC2 instance, such as arn:aws:ec2:eu-central-1:123456789012:instance/i-0123456789abcdef0"
		wantAzure = "the id of an Azure virtual machine, such as /subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/RG/providers/Microsoft.Compute/virtualMachines/NAME"
		want      = "a VM id such as host://web-1, the ARN of an EC2 instance or the resource id of an Azure virtual machine"
	)
	switch name, host := strings.CutPrefix(s, hostScheme); {
	case host && ValidName(name):
		return VMID(s), nil
	case host:
		return "", errkind.Bad("vm", s, wantHost)
	case strings.HasPrefix(s, "arn:"):
		if !validInstance(s) {
			return "", errkind.Bad("vm", s, wantARN)
		}
		return VMID(s), nil
	case strings.HasPrefix(s, "/"):
		id, ok := foldResource(s)
		if !ok {
			return "", errkind.Bad("vm", s, wantAzure)
		}
		return id, nil
	}
	return "", errkind.Bad("vm", s, want)
}

// Name returns the short name that people type: the last part of the id.
func (id VMID) Name() string {
	return string(id)[strings.LastIndexByte(string(id), '/')+1:]
}

// A Home is where a VM runs, in its cloud's words; empty where that has no such
// thing.
type Home struct {
	Cloud   string // CloudHost, CloudAWS, CloudAzure
	Account string // the AWS account, the Azure subscription
	// Place is the region of an instance, or the resource group of an Azure VM,
	// whose region its id does not say.
	Place string
}

// The clouds that a VM can be of.
const (
	CloudHost  = "host"
	CloudAWS   = "aws"
	CloudAzure = "azure"
)

// Home returns where the VM runs, as far as its id says.
func (id VMID) Home() Home {
	switch s := string(id); {
	case strings.HasPrefix(s, "arn:"):
		if parts := strings.Split(s, ":"); len(parts) == arnParts {
			return Home{Cloud: CloudAWS, Account: parts[4], Place: parts[3]}
		}
	case strings.HasPrefix(s, "/"):
		if parts := strings.Split(s, "/"); len(parts) == resourceParts {
			return Home{Cloud: CloudAzure, Account: parts[2], Place: parts[4]}
		}
	case strings.HasPrefix(s, hostScheme):
		return Home{Cloud: CloudHost, Account: "", Place: ""}
	}
	return Home{}
}

// partitions of AWS, as its SDKs list them (2026-11).
func partitions() []string {
	return []string{"aws", "aws-cn", "aws-eusc", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-us-gov"}
}

const (
	arnParts      = 6
	accountDigits = 12
	digits        = "0123456789"
	hexDigits     = digits + "abcdef"
)

// validInstance reports whether s is the ARN of an instance: whose ids are of 17
// hexadecimal digits, or of 8 where they are from before 2016.
func validInstance(s string) bool {
	parts := strings.Split(s, ":")
	if len(parts) != arnParts {
		return false
	}
	id, instance := strings.CutPrefix(parts[5], "instance/i-")
	return slices.Contains(partitions(), parts[1]) && parts[2] == "ec2" &&
		ValidName(parts[3]) && strings.Contains(parts[3], "-") &&
		len(parts[4]) == accountDigits && strings.Trim(parts[4], digits) == "" &&
		instance && (len(id) == 8 || len(id) == 17) && strings.Trim(id, hexDigits) == ""
}

// resourceParts are those of the id of an Azure virtual machine, with the empty
// one before the first slash.
const resourceParts = 9

// foldResource reads the id of an Azure virtual machine. Names are of ASCII: only
// there everybody agrees on what is the same in lower case. (Azure resource
// naming rules: a resource group has up to 90 characters, a virtual machine 64.)
func foldResource(s string) (VMID, bool) {
	if strings.ContainsFunc(s, func(r rune) bool { return r > '~' }) {
		return "", false
	}
	s = strings.ToLower(s)
	parts := strings.Split(s, "/")
	if len(parts) != resourceParts {
		return "", false
	}
	group, name := parts[4], parts[8]
	ok := parts[0] == "" && parts[1] == "subscriptions" && validGUID(parts[2]) &&
		parts[3] == "resourcegroups" && isOf(group, "-_.()", 90) && !strings.HasSuffix(group, ".") &&
		parts[5] == "providers" && parts[6] == "microsoft.compute" &&
		parts[7] == "virtualmachines" && isOf(name, "-_.", 64) && !strings.HasSuffix(name, ".") && !strings.HasSuffix(name, "-")
	return VMID(s), ok
}

// isOf reports whether s is one to most lower-case letters, digits and those of
// more, and is not made of dots alone, which a path would be walked by.
func isOf(s, more string, most int) bool {
	return s != "" && len(s) <= most && strings.Trim(s, digits+"abcdefghijklmnopqrstuvwxyz"+more) == "" && strings.Trim(s, ".") != ""
}

// validGUID reports whether s is a GUID in lower case.
func validGUID(s string) bool {
	parts := strings.Split(s, "-")
	if len(parts) != 5 {
		return false
	}
	for i, n := range []int{8, 4, 4, 4, 12} {
		if len(parts[i]) != n || strings.Trim(parts[i], hexDigits) != "" {
			return false
		}
	}
	return true
}
