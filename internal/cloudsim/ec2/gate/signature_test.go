package gate_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sesame-access/sesame/internal/cloudsim/ec2/gate"
)

// sign signs a request by the recipe of the documentation, with the headers that
// are named.
func sign(r *http.Request, body, secret string, headers ...string) {
	date := r.Header.Get("X-Amz-Date")
	sum := sha256.Sum256([]byte(body))
	var canonical strings.Builder
	fmt.Fprintf(&canonical, "POST\n/\n\n")
	for _, h := range headers {
		v := r.Header.Get(h)
		if h == "host" {
			v = r.Host
		}
		fmt.Fprintf(&canonical, "%s:%s\n", h, v)
	}
	fmt.Fprintf(&canonical, "\n%s\n%s", strings.Join(headers, ";"), hex.EncodeToString(sum[:]))
	scope := date[:8] + "/eu-central-1/ec2/aws4_request"
	of := sha256.Sum256([]byte(canonical.String()))
	key := []byte("AWS4" + secret)
	for _, part := range append(strings.Split(scope, "/"), "AWS4-HMAC-SHA256\n"+date+"\n"+scope+"\n"+hex.EncodeToString(of[:])) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIA/"+scope+", SignedHeaders="+strings.Join(headers, ";")+", Signature="+hex.EncodeToString(key))
}

func TestVerify(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	both := []string{"host", "x-amz-date"}
	for _, tt := range []struct {
		name    string
		headers []string
		date    time.Time
		change  func(*http.Request)
		body    string
		want    string
	}{
		{"good", both, now, nil, "Action=x", ""},
		{"late", both, now.Add(-16 * time.Minute), nil, "Action=x", "RequestExpired"},
		{"early", both, now.Add(16 * time.Minute), nil, "Action=x", "RequestExpired"},
		{"nearly late", both, now.Add(-14 * time.Minute), nil, "Action=x", ""},
		{"another body", both, now, nil, "Action=y", "SignatureDoesNotMatch"},
		{"another host", both, now, func(r *http.Request) { r.Host = "elsewhere" }, "Action=x", "SignatureDoesNotMatch"},
		{"another date", both, now, func(r *http.Request) { r.Header.Set("X-Amz-Date", now.Add(time.Second).Format("20060102T150405Z")) }, "Action=x", "SignatureDoesNotMatch"},
		{"another day", both, now, func(r *http.Request) { r.Header.Set("X-Amz-Date", "20260305T000000Z") }, "Action=x", "IncompleteSignature"},
		{"unsigned host", both[1:], now, nil, "Action=x", "IncompleteSignature"},
		{"unsigned date", both[:1], now, nil, "Action=x", "IncompleteSignature"},
		{"a wrong sum", both, now, func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", strings.Repeat("0", 64)) }, "Action=x", "SignatureDoesNotMatch"},
		{"none", both, now, func(r *http.Request) { r.Header.Del("Authorization") }, "Action=x", "MissingAuthenticationToken"},
		{"another kind", both, now, func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, "Action=x", "IncompleteSignature"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://ec2.example/", bytes.NewBufferString(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Amz-Date", tt.date.Format("20060102T150405Z"))
		sign(r, "Action=x", "secret", tt.headers...)
		if tt.change != nil {
			tt.change(r)
		}
		s, err := gate.ReadScope(r)
		if err == nil {
			err = gate.Verify(r, []byte(tt.body), s, "secret", now)
		}
		if got := refusal(err); got != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}
