package arm

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/sesame-access/sesame/internal/server/arm/guise"
)

// endpoints says where everything of this cloud is: here. It answers in the form of
// 2015-01-01, which az looks for when a cloud is registered, and in the later ones,
// which are a list from 2019-05-01 on. (2015-01-01 to 2022-09-01 as az, Az PowerShell
// and Terraform ask for them.)
func (f *Face) endpoints(_ context.Context, c *call) (answer, error) {
	here := origin(c.request)
	version := c.query["api-version"]
	login := map[string]any{"loginEndpoint": here, "audiences": []string{here + "/", here}, "tenant": f.tenant(), "identityProvider": "AAD"}
	if version < "2018-05-01" {
		return ok(map[string]any{"galleryEndpoint": here + "/", "graphEndpoint": here + "/", "portalEndpoint": here + "/", "authentication": login}), nil
	}
	cloud := map[string]any{
		"name": "Sesame", "portal": here + "/", "resourceManager": here + "/", "authentication": login,
		"graph": here + "/", "graphAudience": here + "/", "microsoftGraphResourceId": here + "/", "gallery": here + "/", "batch": here + "/", "media": here + "/",
		"sqlManagement": here + "/", "vmImageAliasDoc": here + "/", "activeDirectoryDataLake": here + "/", "ossrdbmsResourceId": here + "/", "logAnalyticsResourceId": here + "/",
		"suffixes": map[string]any{},
	}
	if version < "2019-05-01" {
		return ok(cloud), nil
	}
	return ok([]any{cloud}), nil
}

// tenant returns the id that stands for the installation: its clients want a GUID.
func (f *Face) tenant() string { return guise.Tenant(f.Instance) }

// identityTime is how long a client keeps a token before it asks again. The token
// itself is good for as long as it is.
const identityTime = time.Hour

// identity answers as the managed identity endpoint of Azure's App Service, in its
// forms of 2017 and of 2019. Its secret is a token of Sesame, and what it gives out is
// that token in the form of Azure's, for clients that look into theirs: nobody gets
// anything here that they do not have. (learn.microsoft.com: how to use managed
// identities for App Service, REST endpoint reference.)
func (f *Face) identity(_ context.Context, c *call) (answer, error) {
	old := c.query["api-version"] == "2017-09-01"
	secret := c.request.Header.Get("X-Identity-Header")
	if old {
		secret = c.request.Header.Get("Secret")
	}
	r := c.request.Clone(c.request.Context())
	r.Header = http.Header{"Authorization": {"Bearer " + secret}}
	for _, name := range []string{"X-Forwarded-For"} {
		r.Header[name] = c.request.Header[name]
	}
	who, err := f.Authenticate(r)
	if err != nil {
		return answer{}, err
	}
	expires := c.now.Wall.Add(identityTime).UTC()
	out := map[string]any{
		"access_token": guise.Token(secret, f.tenant(), who.Principal, origin(c.request)+"/", expires), "token_type": "Bearer",
		"resource": c.query["resource"], "client_id": guise.Object(who.Principal), "expires_on": strconv.FormatInt(expires.Unix(), 10),
	}
	if old {
		out["expires_on"] = expires.Format("01/02/2006 15:04:05 -07:00")
	}
	return ok(out), nil
}

// tenants lists the one tenant that there is.
func (f *Face) tenants(context.Context, *call) (answer, error) {
	id := f.tenant()
	one := map[string]any{"id": "/tenants/" + id, "tenantId": id, "displayName": "Sesame " + f.Instance, "tenantCategory": "Home"}
	return ok(map[string]any{"value": []any{one}}), nil
}
