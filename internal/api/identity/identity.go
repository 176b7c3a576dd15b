// Package identity holds the wire types of signing in, and of who is known.
package identity

import "github.com/sesame-access/sesame/internal/api"

// SignIns says where one can sign in.
type SignIns struct {
	Issuers []string `json:"issuers" doc:"Names of the identity providers; none if everybody has a token."`
	URL     string   `json:"url" doc:"Where people reach the server with a browser."`
}

// A StartDevice begins a sign-in on another device.
type StartDevice struct {
	Issuer string `json:"issuer,omitzero" doc:"May be left out if there is one."`
}

// A Device is a sign-in on another device that is under way.
type Device struct {
	Handle   string   `json:"handle" doc:"Fetch the session with it."`
	Code     string   `json:"code" doc:"What to type in at page."`
	Page     string   `json:"page"`
	Complete string   `json:"complete,omitzero" doc:"A page that knows the code already."`
	Interval int      `json:"interval" doc:"How many seconds to wait before asking."`
	Expires  api.Time `json:"expires"`
}

// A FetchSession asks for the session of a sign-in: with the handle of a device,
// or with the code that a program was handed and the secret that it kept.
type FetchSession struct {
	Handle   string `json:"handle,omitzero"`
	Code     string `json:"code,omitzero"`
	Verifier string `json:"verifier,omitzero"`
}

// A SignedIn answers a FetchSession.
type SignedIn struct {
	Pending   bool          `json:"pending" doc:"Nobody has signed in yet: ask again with this handle, after the interval."`
	Handle    string        `json:"handle,omitzero"`
	Interval  int           `json:"interval,omitzero"`
	Secret    string        `json:"secret,omitzero" doc:"The session's; send it as a bearer token."`
	Principal api.Principal `json:"principal,omitzero"`
	Expires   api.Time      `json:"expires,omitzero"`
}

// An Identity is what is known of somebody who asks.
type Identity struct {
	Principal api.Principal `json:"principal"`
	Kind      string        `json:"kind" enum:"person,program"`
	Person    string        `json:"person,omitzero" doc:"Who it is; the same for several identities of one person. Absent for nobody, who cannot approve."`
	Groups    []string      `json:"groups" doc:"As its issuer calls them, when it was last seen."`
	Seen      api.Time      `json:"seen,omitzero" doc:"When it last signed in."`
	Linked    api.Time      `json:"linked,omitzero" doc:"When an administrator linked it."`
}

// A Link makes an identity the person that another one is.
type Link struct {
	Identity string `json:"identity" doc:"ISSUER#SUBJECT, or the name of a token's principal."`
	To       string `json:"to,omitzero" doc:"Absent to make it a person by itself."`
}

// An Unlink takes a Link back.
type Unlink struct {
	Identity string `json:"identity"`
}
