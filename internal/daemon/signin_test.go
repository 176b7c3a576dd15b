package daemon

import (
	"context"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"

	"github.com/sesame-access/sesame/internal/api/client"
	"github.com/sesame-access/sesame/internal/api/identity"
	"github.com/sesame-access/sesame/internal/config"
)

// realProvider starts an OpenID provider that is none of ours.
func realProvider(t *testing.T, register func(url string) *storage.Client) (url string, store *storage.Storage) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	url = "http://localhost:" + port
	c := register(url)
	store = storage.NewStorageWithClients(storage.NewUserStore(url), map[string]*storage.Client{c.GetID(): c})
	srv := httptest.NewUnstartedServer(exampleop.SetupServer(url, store, slog.New(slog.DiscardHandler), false))
	srv.Listener = l
	srv.Start()
	t.Cleanup(srv.Close)
	return url, store
}

// signInAt has people sign in at the provider.
func (h *house) signInAt(url, id string) {
	h.t.Helper()
	secret := filepath.Join(h.cfg.StateDir, "oidc.secret")
	if err := os.WriteFile(secret, []byte("secret\n"), 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.cfg.Identity.Issuers = []config.Issuer{{
		Name: "real", URL: url, Client: id, SecretFile: secret, Scopes: []string{"email", "profile"}, Subject: config.SubjectSub, People: true,
	}}
}

// A real provider logs a person in, in a real browser.
func TestABrowserSignsIn(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed: apt-get install chromium")
	}
	h := newHouse(t)
	url, _ := realProvider(t, func(string) *storage.Client {
		return storage.WebClient("sesame", "secret", "https://"+h.cfg.Listen[0].String()+"/callback")
	})
	h.signInAt(url, "sesame")
	defer h.start()()
	r := h.awaitReady()

	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.Flag("ignore-certificate-errors", true))
	alloc, cancelAlloc := chromedp.NewExecAllocator(t.Context(), opts...)
	defer cancelAlloc()
	page, cancelPage := chromedp.NewContext(alloc)
	defer cancelPage()
	if err := chromedp.Do(page); err != nil { // the browser lives as long as this first context
		t.Skipf("chromium does not start here: %v", err)
	}
	ctx, cancel := context.WithTimeout(page, time.Minute)
	defer cancel()
	err = chromedp.Do(ctx,
		chromedp.Navigate(r.URL+"/login?next=/v1/whoami"),
		chromedp.WaitVisible(`input[name="username"]`),
		chromedp.SendKeys(`input[name="username"]`, "test-user@localhost"),
		chromedp.SendKeys(`input[name="password"]`, "verysecure"),
		chromedp.Submit(`input[name="password"]`),
		chromedp.WaitVisible(`a[href="/v1/whoami"]`),
		chromedp.Click(`a[href="/v1/whoami"]`),
	)
	if err != nil {
		t.Fatal(err)
	}
	var text string
	for range 50 {
		if text, err = chromedp.Run(ctx, chromedp.Text("body")); err == nil && strings.Contains(text, "principal") {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil || !strings.Contains(text, url) || !strings.Contains(text, `"id1"`) {
		t.Errorf("%s, %v", text, err)
	}
}

// A real provider logs a person in without a browser.
func TestADeviceSignsIn(t *testing.T) {
	h := newHouse(t)
	url, people := realProvider(t, func(string) *storage.Client { return storage.DeviceClient("sesame", "secret") })
	h.signInAt(url, "sesame")
	defer h.start()()
	r := h.awaitReady()
	ca, err := os.ReadFile(r.CA)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Config{URL: r.URL, CA: ca})
	if err != nil {
		t.Fatal(err)
	}
	dev, err := c.StartDevice(t.Context(), "")
	if err != nil || dev.Code == "" || !strings.HasPrefix(dev.Page, url) {
		t.Fatalf("%+v, %v", dev, err)
	}
	in, err := c.FetchSession(t.Context(), identity.FetchSession{Handle: dev.Handle})
	if err != nil || !in.Pending {
		t.Fatalf("%+v, %v", in, err)
	}
	if err := people.CompleteDeviceAuthorization(t.Context(), dev.Code, "id1"); err != nil {
		t.Fatal(err)
	}
	in, err = c.FetchSession(t.Context(), identity.FetchSession{Handle: in.Handle})
	if err != nil || in.Pending || in.Secret == "" {
		t.Fatalf("%+v, %v", in, err)
	}
	c, err = client.New(client.Config{URL: r.URL, CA: ca, Token: in.Secret})
	if err != nil {
		t.Fatal(err)
	}
	who, err := c.Whoami(t.Context())
	if err != nil || who.Principal.Issuer != url || who.Principal.Subject != "id1" {
		t.Errorf("%+v, %v", who, err)
	}
}
