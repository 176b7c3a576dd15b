package front

import "github.com/sesame-access/sesame/internal/audit"

// VMParam names a VM.
func VMParam(required bool) Param {
	return Param{Name: "vm", Doc: "the id or the name of a VM", Required: required}
}

// PortParam names a port.
func PortParam() Param {
	return Param{Name: "port", Doc: "a port number from 1 to 65535", Required: true, Integer: true}
}

// ProtocolParam names a protocol.
func ProtocolParam() Param {
	return Param{Name: "protocol", Doc: "tcp if it is not given", OneOf: []string{"tcp", "udp"}}
}

// SourceParam names a source.
func SourceParam() Param {
	return Param{Name: "source", Doc: "the address or prefix to ask about"}
}

// PrincipalParam names a principal.
func PrincipalParam() Param {
	return Param{Name: "principal", Doc: "me, the name of a token's principal, or ISSUER#SUBJECT"}
}

// StateParam chooses grants.
func StateParam() Param {
	return Param{Name: "state", Doc: "pending for grants that are not read back closed yet, done for the others", OneOf: []string{"pending", "done"}}
}

// DryRunParam asks to change nothing.
func DryRunParam() Param {
	return Param{Name: "dry_run", Doc: "true to change nothing and show what would change", OneOf: []string{"true", "false"}}
}

// AgreeParam agrees to losses.
func AgreeParam() Param {
	return Param{Name: "accept_losses", Doc: "what a dry run said to agree to the losses with that it showed"}
}

// ActivityParams choose records.
func ActivityParams() []Param {
	var kinds []string
	for _, k := range audit.Kinds() {
		kinds = append(kinds, string(k))
	}
	return []Param{
		VMParam(false), PrincipalParam(),
		{Name: "kind", Doc: "what happened; may be given more than once", Many: true, OneOf: kinds},
		{Name: "request", Doc: "the id of a request"},
		{Name: "grant", Doc: "the id of a grant"},
		{Name: "since", Doc: "an instant in RFC 3339, inclusive"},
		{Name: "until", Doc: "an instant in RFC 3339, exclusive"},
		{Name: "q", Doc: "text to look for, whatever its case"},
	}
}

// WaitingParam chooses requests.
func WaitingParam() Param {
	return Param{Name: "state", Doc: "waiting for those that others have to agree to", OneOf: []string{"waiting"}}
}
