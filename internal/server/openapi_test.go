package server

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/server/front"
)

var update = flag.Bool("update", false, "write docs/reference/openapi.json anew")

const openapiFile = "../../docs/reference/openapi.json"

// The document that is checked in is the one that the server shows.
func TestOpenAPIIsFresh(t *testing.T) {
	got, err := front.Document((&Server{}).faces())
	must(t, err)
	again, err := front.Document((&Server{}).faces())
	must(t, err)
	if string(got) != string(again) {
		t.Error("two documents of the same routes differ")
	}
	if *update {
		must(t, os.WriteFile(openapiFile, got, 0o644))
	}
	want, err := os.ReadFile(openapiFile)
	must(t, err)
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("docs/reference/openapi.json is stale; run `go generate ./internal/server`:\n%s", d)
	}
}

// The document says what a client needs: every operation once, with an answer,
// and nothing that refers to nowhere.
func TestOpenAPI(t *testing.T) {
	text, err := front.Document((&Server{}).faces())
	must(t, err)
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string
			Responses   map[string]json.RawMessage
			RequestBody *struct {
				Content map[string]json.RawMessage
			}
			Security *[]map[string][]string
		}
		Components struct{ Schemas map[string]json.RawMessage }
	}
	must(t, json.Unmarshal(text, &doc))
	ids := map[string]bool{}
	for path, item := range doc.Paths {
		for method, op := range item {
			if ids[op.OperationID] || op.OperationID == "" || len(op.Responses) != 2 {
				t.Errorf("%s %s: %+v", method, path, op)
			}
			ids[op.OperationID] = true
		}
	}
	if len(ids) != len((&Server{}).routes()) || doc.OpenAPI != "3.1.0" {
		t.Errorf("%d operations of %d routes, version %q", len(ids), len((&Server{}).routes()), doc.OpenAPI)
	}
	if op := doc.Paths["/healthz"]["get"]; op.Security == nil {
		t.Error("/healthz asks for a token")
	}
	if op := doc.Paths["/v1/policies/{policy}"]["put"]; op.RequestBody == nil || len(op.RequestBody.Content) != 2 {
		t.Errorf("put-policy: %+v", op)
	}
	for ref := range strings.SplitSeq(string(text), `"$ref": "#/components/schemas/`) {
		name, _, _ := strings.Cut(ref, `"`)
		if _, known := doc.Components.Schemas[name]; !known && !strings.HasPrefix(ref, "{") {
			t.Errorf("a reference to %q", name)
		}
	}
	if strings.Contains(string(text), `"null"`) {
		t.Error("something may be null")
	}
	for _, want := range []string{`"format": "date-time"`, `"RequestPage"`, `"GrantPage"`, `"Idempotency-Key"`, api.ProblemType} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s", want)
		}
	}
}
