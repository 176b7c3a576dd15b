// Package wire is how the EC2 API is spoken: parameters in the form of the query
// protocol, resources as the XML documents of version 2016-11-15, and the values
// that their filters look at.
//
// Names and nesting are those of the API's service model. Lists that are empty
// are there and empty, as the real ones are.
package wire

import (
	"net/netip"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

// A View is the world as an account sees it at a moment.
type View struct {
	World *world.World
	At    time.Time
}

// A List is a list of the query protocol.
type List[T any] struct {
	Items []T `xml:"item"`
}

// of makes a list of documents.
func of[T, D any](rows []T, document func(T) D) List[D] {
	var l List[D]
	for _, r := range rows {
		l.Items = append(l.Items, document(r))
	}
	return l
}

// A Tag is a key and its value.
type Tag struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

// Tags returns tags as a document.
func Tags(t world.Tags) List[Tag] {
	return of(t.Keys(), func(k string) Tag { return Tag{k, t[k]} })
}

// A TagDescription is a tag with what has it.
type TagDescription struct {
	ResourceID   string `xml:"resourceId"`
	ResourceType string `xml:"resourceType"`
	Key          string `xml:"key"`
	Value        string `xml:"value"`
}

// Attribute answers for the filters of DescribeTags.
func (t TagDescription) Attribute(name string) ([]string, bool) {
	switch name {
	case "key":
		return is(t.Key)
	case "value":
		return is(t.Value)
	case "resource-id":
		return is(t.ResourceID)
	case "resource-type":
		return is(t.ResourceType)
	}
	if key, ok := strings.CutPrefix(name, "tag:"); ok {
		if key == t.Key {
			return is(t.Value)
		}
		return nil, true
	}
	return nil, false
}

// A GroupName is a group in a list of groups.
type GroupName struct {
	ID   string `xml:"groupId"`
	Name string `xml:"groupName"`
}

func (v View) groupName(id string) GroupName {
	g, _ := v.World.Groups.Get(v.At, id)
	return GroupName{id, g.Name}
}

// cidr prints a network, or nothing.
func cidr(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}

// address prints an address, or nothing.
func address(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// stamp prints a time as the API does.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// A Region is one part of the world.
type Region struct {
	Name     string `xml:"regionName"`
	Endpoint string `xml:"regionEndpoint"`
	OptIn    string `xml:"optInStatus"`
}

// NewRegion returns a region as a document.
func NewRegion(name string) Region {
	return Region{name, "ec2." + name + ".amazonaws.com", "opt-in-not-required"}
}

// Attribute answers for the filters of DescribeRegions.
func (r Region) Attribute(name string) ([]string, bool) {
	switch name {
	case "region-name":
		return is(r.Name)
	case "endpoint":
		return is(r.Endpoint)
	case "opt-in-status":
		return is(r.OptIn)
	}
	return nil, false
}
