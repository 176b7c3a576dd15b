// Package world is what an Azure subscription holds, as the simulator of Azure
// Resource Manager keeps it: resources as ordered raw JSON, the rules by which a
// document is accepted, and the documents that are shown.
//
// # Documents
//
// A resource is stored as it was written, less what the server adds. What the
// simulator does not know stays in its place byte for byte. On the way in, the
// server's members (id, etag, type, provisioningState, default rules, back
// references) are taken out, so that what was read can be written back; security
// rules get the plural lists that they lack, empty, as Azure echoes them. On the
// way out the server's members are put in front, in Azure's order. Writing back
// what was shown therefore changes nothing.
//
// Security rules, subnets, peerings, IP configurations, routes and the parts of
// load balancers are embedded: they have ids and can be written one by one, and
// live in the document of their parent.
//
// Every resource has two documents. What is shown is what was written last; what
// is live is what packets meet, and follows when the operation has ended.
//
// # Strictness
//
// A document is judged at least as strictly as Azure does. The codes and
// messages are those that people have recorded; a check of ours that no
// recording speaks of answers InvalidRequestFormat, and says what is wrong.
package world

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Problem is why a request is refused, as Azure Resource Manager says it.
type Problem struct {
	Status  int
	Code    string
	Message string
	// Details are codes and messages of the second level, mostly none.
	Details []Problem
}

// Err returns p as an error.
func (p *Problem) Err() error { return errors.New(p.Code + ": " + p.Message) }

// Refuse returns a problem.
func Refuse(status int, code, format string, args ...any) *Problem {
	return &Problem{Status: status, Code: code, Message: fmt.Sprintf(format, args...), Details: nil}
}

// malformed is the answer to what no recording speaks of.
func malformed(format string, args ...any) *Problem {
	return Refuse(400, "InvalidRequestFormat", "Cannot parse the request: "+format+".", args...)
}

// An ID names a subscription, a resource group, a resource or a child. It keeps
// its case and is compared by Key.
type ID struct {
	Subscription string
	Group        string
	Namespace    string   // such as Microsoft.Network
	Types, Names []string // of the resource and its children, equally many
}

// ParseID reads the id of a subscription or of something in it.
func ParseID(text string) (ID, error) {
	var id ID
	parts := strings.Split(strings.TrimSuffix(text, "/"), "/")
	if len(parts) < 3 || parts[0] != "" || !strings.EqualFold(parts[1], "subscriptions") {
		return id, fmt.Errorf("%q is no id: it does not begin with /subscriptions/", text)
	}
	if slices.Contains(parts[1:], "") {
		return id, fmt.Errorf("%q is no id: a part of it is empty", text)
	}
	id.Subscription, parts = parts[2], parts[3:]
	if len(parts) >= 2 && strings.EqualFold(parts[0], "resourceGroups") {
		id.Group, parts = parts[1], parts[2:]
	}
	if len(parts) == 0 {
		return id, nil
	}
	if len(parts) < 4 || len(parts)%2 != 0 || !strings.EqualFold(parts[0], "providers") {
		return id, fmt.Errorf("%q is no id: it does not end in a type and a name", text)
	}
	id.Namespace = parts[1]
	for i := 2; i < len(parts); i += 2 {
		id.Types, id.Names = append(id.Types, parts[i]), append(id.Names, parts[i+1])
	}
	return id, nil
}

// String returns the id as it was given.
func (id ID) String() string {
	var b strings.Builder
	b.WriteString("/subscriptions/" + id.Subscription)
	if id.Group != "" {
		b.WriteString("/resourceGroups/" + id.Group)
	}
	if id.Namespace != "" {
		b.WriteString("/providers/" + id.Namespace)
	}
	for i := range id.Types {
		b.WriteString("/" + id.Types[i] + "/" + id.Names[i])
	}
	return b.String()
}

// Key returns what equal ids have in common.
func (id ID) Key() string { return strings.ToLower(id.String()) }

// Type returns the full type, such as Microsoft.Network/virtualNetworks/subnets.
func (id ID) Type() string {
	switch {
	case id.Namespace != "":
		return id.Namespace + "/" + strings.Join(id.Types, "/")
	case id.Group != "":
		return groupType
	}
	return "Microsoft.Resources/subscriptions"
}

// Name returns the last name of the id.
func (id ID) Name() string {
	switch {
	case len(id.Names) > 0:
		return id.Names[len(id.Names)-1]
	case id.Group != "":
		return id.Group
	}
	return id.Subscription
}

// Parent returns the id of what id is a child of: for a resource itself, its
// resource group.
func (id ID) Parent() ID {
	if n := len(id.Types) - 1; n > 0 {
		id.Types, id.Names = id.Types[:n], id.Names[:n]
		return id
	}
	return ID{Subscription: id.Subscription, Group: id.Group, Namespace: "", Types: nil, Names: nil}
}

// Child returns the id of a child of id.
func (id ID) Child(kind, name string) ID {
	id.Types = append(slices.Clip(id.Types), kind)
	id.Names = append(slices.Clip(id.Names), name)
	return id
}

// GroupID returns the id of the resource group that id is in.
func (id ID) GroupID() ID {
	return ID{Subscription: id.Subscription, Group: id.Group, Namespace: "", Types: nil, Names: nil}
}
