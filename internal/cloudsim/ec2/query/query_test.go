package query_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/query"
	"github.com/sesame-access/sesame/internal/cloudsim/ec2/world"
)

func params(t *testing.T, text string) *query.Params {
	t.Helper()
	v, err := url.ParseQuery(text)
	if err != nil {
		t.Fatal(err)
	}
	return query.NewParams(v)
}

func code(err error) string {
	if e, ok := errors.AsType[*world.Error](err); ok {
		return e.Code
	}
	return ""
}

func TestListsAreReadByNumber(t *testing.T) {
	p := params(t, "Id.10=c&Id.2=b&Id.1=a&Id.01=x&Id.0=x&Id.-1=x&Id.y=x&Idea.1=x")
	if diff := cmp.Diff([]string{"a", "b", "c"}, p.Texts("Id")); diff != "" {
		t.Error(diff)
	}
	if err := p.Err(); code(err) != "UnknownParameter" || !strings.Contains(err.Error(), "Id.-1 ") {
		t.Errorf("the others are unknown: %v", err)
	}
}

func TestParametersAreStrict(t *testing.T) {
	for _, tt := range []struct {
		form string
		read func(*query.Params)
		want string
	}{
		{"Action=x&Version=y", func(*query.Params) {}, ""},
		{"A=1", func(p *query.Params) { p.Text("A") }, ""},
		{"A=1", func(*query.Params) {}, "UnknownParameter"},
		{"A=1&A=1", func(p *query.Params) { p.Text("A") }, "InvalidParameterCombination"},
		{"A=", func(p *query.Params) { p.Need("A") }, "MissingParameter"},
		{"A=07", func(p *query.Params) { p.Number("A") }, ""},
		{"A=1.0", func(p *query.Params) { p.Number("A") }, "InvalidParameterValue"},
		{"A=99999999999", func(p *query.Params) { p.Number("A") }, "InvalidParameterValue"},
		{"A=True", func(p *query.Params) { p.Flag("A") }, "InvalidParameterValue"},
		{"T.1.Key=a&T.2.Key=a", func(p *query.Params) { p.Tags("T") }, "InvalidParameterValue"},
		{"Filter.1.Name=a", func(p *query.Params) { p.Filters() }, "InvalidParameterValue"},
		{"Filter.1.Value.1=a", func(p *query.Params) { p.Filters() }, "MissingParameter"},
		{"MaxResults=5&NextToken=bad", func(p *query.Params) { p.Page(nil, 5, 10, "", false) }, "InvalidPaginationToken"},
		{"MaxResults=11", func(p *query.Params) { p.Page(nil, 5, 10, "", false) }, "InvalidParameterValue"},
	} {
		p := params(t, tt.form)
		tt.read(p)
		if got := code(p.Err()); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.form, got, tt.want)
		}
	}
	many := url.Values{"Filter.1.Name": {"a"}}
	for i := range 201 {
		many.Set(fmt.Sprintf("Filter.1.Value.%d", i+1), "v")
	}
	p := query.NewParams(many)
	p.Filters()
	if got := code(p.Err()); got != "FilterLimitExceeded" {
		t.Errorf("201 values: %q", got)
	}
}

func TestReply(t *testing.T) {
	type item struct {
		Name string `xml:"name"`
	}
	got, err := query.Reply{{Name: "return", Value: true}, {Name: "nextToken", Value: ""}, {Name: "thing", Value: item{"<x>"}}}.Encode("Do", query.EC2, "r-1")
	if err != nil {
		t.Fatal(err)
	}
	want := `<?xml version="1.0" encoding="UTF-8"?>` + "\n" +
		`<DoResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r-1</requestId><return>true</return><thing><name>&lt;x&gt;</name></thing></DoResponse>`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	got, err = query.Reply{{Name: "Arn", Value: "a"}}.Encode("Get", query.STS, "r-2")
	want = `<?xml version="1.0" encoding="UTF-8"?>` + "\n" +
		`<GetResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetResult><Arn>a</Arn></GetResult><ResponseMetadata><RequestId>r-2</RequestId></ResponseMetadata></GetResponse>`
	if diff := cmp.Diff(want, string(got)); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for _, tt := range []struct {
		err       error
		namespace string
		status    int
		want      string
	}{
		{world.Refuse("RequestLimitExceeded", "m"), query.EC2, 503, `<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>m</Message></Error></Errors><RequestID>r</RequestID></Response>`},
		{errors.New("a secret of ours"), query.EC2, 500, `<Response><Errors><Error><Code>InternalError</Code><Message>An internal error has occurred</Message></Error></Errors><RequestID>r</RequestID></Response>`},
		{world.Refuse("AccessDenied", "m"), query.STS, 403, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>m</Message></Error><RequestId>r</RequestId></ErrorResponse>`},
	} {
		status, body := query.EncodeError(tt.err, tt.namespace, "r")
		_, text, _ := strings.Cut(string(body), "\n")
		if diff := cmp.Diff(tt.want, text); status != tt.status || diff != "" {
			t.Errorf("%v: %d\n%s", tt.err, status, diff)
		}
	}
}

// A token is for one question and one place, and nobody else can make one.
func TestPageTokens(t *testing.T) {
	const form = "MaxResults=5&Color=red"
	token := params(t, form).Page([]byte("key"), 5, 10, "", false).Token("sg-1")
	raw, err := base64.URLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	forged := base64.URLEncoding.EncodeToString(append(raw[:len(raw)-1:len(raw)-1], '2'))
	for _, tt := range []struct {
		form, token, key string
		good             bool
	}{
		{form, token, "key", true},
		{"MaxResults=7&Color=red", token, "key", true},
		{"Color=red", token, "key", true},
		{"MaxResults=5&Color=blue", token, "key", false},
		{form, token, "other", false},
		{form, forged, "key", false},
		{form, "sg-1", "key", false},
	} {
		p := params(t, tt.form+"&NextToken="+tt.token)
		p.Text("Color")
		page := p.Page([]byte(tt.key), 5, 10, "", false)
		if err := p.Err(); (err == nil) != tt.good || tt.good && (page.After != "sg-1" || page.Size == 0) {
			t.Errorf("%+v: %+v %v", tt, page, err)
		}
	}
}
