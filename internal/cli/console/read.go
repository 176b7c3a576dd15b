package console

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/authz/scope"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/firewall"
)

// Takes returns a check that the command has at least and at most so many
// arguments; what says which.
func Takes(least, most int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return errkind.New(errkind.Invalid, "something is missing; needed is %s", what)
		case len(args) > most:
			return errkind.New(errkind.Invalid, "%s is one argument too many; needed is %s", errkind.Quote(args[most]), what)
		}
		return nil
	}
}

// NotEmpty refuses a flag that was given as an empty text: it is what a script
// types whose variable is not set, and must not be taken for a flag that was left
// out, which often means the most there is.
func NotEmpty(flags *pflag.FlagSet) error {
	var err error
	flags.Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		if err == nil && slices.Contains(values, "") {
			err = errkind.New(errkind.Invalid, "--%s is empty; say what it is to be, or leave it out: %s", f.Name, f.Usage)
		}
	})
	return err
}

// ParsePort reads "22", "3389/tcp" or "53/udp".
func ParsePort(field, s string) (api.Port, error) {
	number, name, named := strings.Cut(s, "/")
	if !named {
		name = "tcp"
	}
	port, errPort := firewall.ParsePort(number)
	protocol, errProtocol := firewall.ParseProtocol(name)
	if errPort != nil || errProtocol != nil {
		return api.Port{}, errkind.Bad(field, s, "a port from 1 to 65535, with /tcp or /udp if you like, such as 22 or 3389/tcp")
	}
	return api.Port{Port: api.PortNumber(port), Protocol: protocol.String()}, nil
}

// ParsePorts reads what --port was given.
func ParsePorts(list []string) ([]api.Port, error) {
	var out []api.Port
	for _, s := range list {
		p, err := ParsePort("--port", s)
		if err != nil {
			return nil, err
		}
		if slices.Contains(out, p) {
			return nil, errkind.New(errkind.Invalid, "--port: %s is named twice; name each port once", PortName(p))
		}
		out = append(out, p)
	}
	return out, nil
}

// PortName writes a port as it is typed: "22", "53/udp".
func PortName(p api.Port) string {
	if p.Protocol == "" || p.Protocol == "tcp" {
		return fmt.Sprint(p.Port)
	}
	return fmt.Sprintf("%d/%s", p.Port, p.Protocol)
}

// SplitDoor reads a VM, or a door as "VM:PORT". The id of a VM may have colons,
// too, but a slash behind the last one and no digit before that.
func SplitDoor(s string) (vm string, ports []string) {
	i := strings.LastIndexByte(s, ':')
	if i <= 0 {
		return s, nil
	}
	digit := func(r rune) bool { return r >= '0' && r <= '9' }
	if port := s[i+1:]; !strings.Contains(port, "/") || strings.IndexFunc(port, digit) == 0 {
		return s[:i], []string{port}
	}
	return s, nil
}

// CheckVM refuses what can be neither the name nor the id of a VM. What a cloud's
// VMs are called is for their owners to say; what begins as an id is one.
func CheckVM(s string) error {
	const longest = 256 // of a tag in AWS, which is the longest of all names
	id := strings.Contains(s, "://") || strings.HasPrefix(s, "arn:") || strings.HasPrefix(s, "/")
	if _, err := firewall.ParseVMID(s); err == nil || id {
		return errkind.At("VM", err)
	}
	odd := strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
	if s == "" || len(s) > longest || odd || strings.TrimSpace(s) != s || strings.HasPrefix(s, "-") || !utf8.ValidString(s) {
		return errkind.Bad("VM", s, "the name or the id of a VM, such as web-1 or host://web-1")
	}
	return nil
}

// CheckWho refuses what can be nobody: a name that a token can have, "me", or an
// issuer and what it calls somebody.
func CheckWho(flag, s string) error {
	issuer, subject, of := strings.Cut(s, "#")
	blank := strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) })
	if !of && firewall.ValidName(s) || of && issuer != "" && subject != "" && !blank {
		return nil
	}
	return errkind.Bad(flag, s, `a name such as ana, "me", or ISSUER#SUBJECT`)
}

// CheckSources reads what a flag says about sources.
func CheckSources(flag string, sources []string) error {
	for _, s := range sources {
		if _, err := firewall.ParseSource(s); err != nil {
			return errkind.At(flag, err)
		}
	}
	return nil
}

// CheckLimit reads the length of a list.
func CheckLimit(n int) error {
	const most = 1000 // what the server gives out at once
	if n < 1 || n > most {
		return errkind.Bad("--limit", fmt.Sprint(n), fmt.Sprintf("a whole number from 1 to %d", most))
	}
	return nil
}

// RoleNames writes roles as people read them: "requester of web-1".
func RoleNames(roles []api.Role) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = r.Role
		if r.VM != "" {
			names[i] += " of " + firewall.VMID(r.VM).Name()
		} else if r.Scope != "" && r.Scope != string(scope.All) {
			names[i] += " on " + r.Scope
		}
	}
	return strings.Join(names, ", ")
}
