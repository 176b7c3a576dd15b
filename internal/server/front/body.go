package front

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/errkind"
)

// Body reads the body of r, which must be of one of the given media types; nil
// when there are none, and then there must be no body.
func (f *Front) Body(w http.ResponseWriter, r *http.Request, media []string) ([]byte, error) {
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, unsupported("send the body as it is; Content-Encoding " + errkind.Quote(e) + " is not taken")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(f.Limits.Body)))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, tooLargeBody(f.Limits.Body)
	}
	if err != nil {
		return nil, errkind.Wrap(errkind.Invalid, err, "the body broke off; send it again")
	}
	if len(media) == 0 {
		if len(body) > 0 {
			return nil, errkind.New(errkind.Invalid, "this takes no body; send none")
		}
		return nil, nil
	}
	sent, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset, named := params["charset"]
	for _, m := range media {
		if err == nil && m == sent && (!named || strings.EqualFold(charset, "utf-8")) {
			return body, nil
		}
	}
	return nil, unsupported("send " + strings.Join(media, " or ") + " in UTF-8, and say so in Content-Type")
}

// WriteJSON answers with v.
func WriteJSON(w http.ResponseWriter, media string, status int, v any) error {
	text, err := api.Encode(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", media)
	w.WriteHeader(status)
	_, _ = w.Write(text) //nolint:gosec // JSON, with nosniff; and nobody is left to be told of an error
	return nil
}
