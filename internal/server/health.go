package server

import (
	"context"
	"net/http"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/errkind"
	"github.com/sesame-access/sesame/internal/server/front"
)

func (s *Server) alive(context.Context, *call) (api.Health, error) {
	return api.Health{Ready: true, Reasons: nil}, nil
}

// ready says whether requests can be decided. A firewall that does not answer is
// a reason to look, and none to send people elsewhere. Anybody may ask, so
// nothing is named.
func (s *Server) ready(ctx context.Context, _ *call, w *front.Recorder) error {
	out, status := api.Health{Ready: true, Reasons: nil}, http.StatusOK
	for _, err := range []error{s.Broker.Ready(ctx), s.log.Ready(ctx)} {
		if err != nil {
			out.Ready, status = false, http.StatusServiceUnavailable
			out.Reasons = append(out.Reasons, errkind.Public(err))
		}
	}
	out.Reasons = append(out.Reasons, s.Fleet.Troubles()...)
	return front.WriteJSON(w, front.JSON, status, out)
}

func (s *Server) serveOpenAPI(_ context.Context, _ *call, w *front.Recorder) error {
	w.Header().Set("Content-Type", front.JSON)
	_, err := w.Write(s.openapi)
	return err
}

func (s *Server) serveMetrics(_ context.Context, c *call, w *front.Recorder) error {
	return s.metrics.Write(w, c.request)
}
