package front

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sesame-access/sesame/internal/api"
)

const schemaPrefix = "#/components/schemas/"

// Document returns the OpenAPI 3.1 document of routes: indented, and the same
// for the same routes.
func Document(routes []Route) ([]byte, error) {
	schemas := huma.NewMapRegistry(schemaPrefix, schemaName)
	schemas.RegisterTypeAlias(reflect.TypeFor[api.Time](), reflect.TypeFor[time.Time]())
	doc := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "Sesame", Version: "v1",
			Description: "Just-in-time access to the management ports of virtual machines.",
			License:     &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
		},
		Paths: map[string]*huma.PathItem{},
		Components: &huma.Components{
			Schemas: schemas,
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"token": {Type: "http", Scheme: "bearer", Description: "A token of `sesame token create`. The local socket needs none."},
			},
		},
		Security: []map[string][]string{{"token": {}}},
	}
	problem := schemas.Schema(reflect.TypeFor[api.Problem](), true, "")
	for _, rt := range routes {
		item := doc.Paths[rt.Path]
		if item == nil {
			item = &huma.PathItem{}
			doc.Paths[rt.Path] = item
		}
		*operationOf(item, rt.Method) = operation(rt, schemas, problem)
	}
	for _, s := range schemas.Map() {
		tidy(s)
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("write the OpenAPI document: %w", err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, text, "", "  "); err != nil {
		return nil, fmt.Errorf("indent the OpenAPI document: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// schemaName names a page of something "SomethingPage".
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	if of, ok := strings.CutPrefix(name, "Page"); ok {
		return of + "Page"
	}
	return name
}

func operationOf(item *huma.PathItem, method string) **huma.Operation {
	switch method {
	case http.MethodPut:
		return &item.Put
	case http.MethodPost:
		return &item.Post
	case http.MethodDelete:
		return &item.Delete
	default:
		return &item.Get
	}
}

// operation describes one route.
func operation(rt Route, schemas huma.Registry, problem *huma.Schema) *huma.Operation {
	op := &huma.Operation{
		OperationID: rt.ID, Summary: rt.Summary, Description: rt.Who,
		Parameters: parametersOf(rt),
		Responses: map[string]*huma.Response{
			"default": {
				Description: "A problem: what was asked, what is true, and what to do next.",
				Content:     map[string]*huma.MediaType{api.ProblemType: {Schema: problem}},
			},
		},
	}
	if rt.Public {
		op.Security = []map[string][]string{{}}
	}
	if rt.In != nil {
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{}}
		for _, m := range rt.Takes {
			op.RequestBody.Content[m] = &huma.MediaType{Schema: schemas.Schema(rt.In, true, "")}
		}
	}
	success := &huma.Response{Description: http.StatusText(rt.Status)}
	switch {
	case rt.Status == http.StatusNoContent:
	case rt.Out != nil:
		success.Content = map[string]*huma.MediaType{rt.Answers: {Schema: schemas.Schema(rt.Out, true, "")}}
	case rt.Answers == JSON:
		success.Content = map[string]*huma.MediaType{rt.Answers: {Schema: &huma.Schema{Type: huma.TypeObject}}}
	default:
		media, _, _ := strings.Cut(rt.Answers, ";")
		success.Content = map[string]*huma.MediaType{media: {Schema: &huma.Schema{Type: huma.TypeString}}}
	}
	op.Responses[strconv.Itoa(rt.Status)] = success
	return op
}

// parametersOf describes the path, the query and the headers of a route.
func parametersOf(rt Route) []*huma.Param {
	var out []*huma.Param
	for part := range strings.SplitSeq(rt.Path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			out = append(out, &huma.Param{
				Name: strings.TrimSuffix(name, "}"), In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString},
			})
		}
	}
	for _, p := range rt.Query {
		schema := &huma.Schema{Type: huma.TypeString}
		if p.Integer {
			schema.Type = huma.TypeInteger
		}
		for _, v := range p.OneOf {
			schema.Enum = append(schema.Enum, v)
		}
		if p.Many {
			schema = &huma.Schema{Type: huma.TypeArray, Items: schema}
		}
		out = append(out, &huma.Param{Name: p.Name, In: "query", Description: p.Doc, Required: p.Required, Schema: schema})
	}
	if rt.Keyed {
		out = append(out, &huma.Param{
			Name: api.KeyHeader, In: "header", Schema: &huma.Schema{Type: huma.TypeString},
			Description: "1 to 128 printable ASCII characters; the same key with the same request is answered as it was the first time, for a day",
		})
	}
	return out
}

// tidy takes null out of a schema: nothing is ever null.
func tidy(s *huma.Schema) {
	s.Nullable = false
	for _, p := range s.Properties {
		tidy(p)
	}
	if s.Items != nil {
		tidy(s.Items)
	}
}
