package server

import (
	"context"
	"encoding/base64"
	"errors"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/server/front"
)

func (s *Server) checkpoint(ctx context.Context, _ *call) (api.Checkpoint, error) {
	c, signed, err := s.log.Head(ctx)
	return s.checkpointOf(c, signed), err
}

func (s *Server) checkpointOf(c audit.Checkpoint, signed []byte) api.Checkpoint {
	return api.Checkpoint{
		Origin: c.Origin, Key: s.LogKey.Public, Size: c.Size,
		Root: base64.StdEncoding.EncodeToString(c.Root[:]), Signed: string(signed),
	}
}

func (s *Server) exportAudit(ctx context.Context, _ *call, w *front.Recorder) error {
	w.Header().Set("Content-Type", front.Lines)
	w.Header().Set("Content-Disposition", `attachment; filename="sesame-audit.ndjson"`)
	_, err := s.log.Export(ctx, w.Patient())
	return err
}

func (s *Server) verifyAudit(ctx context.Context, _ *call) (api.AuditReport, error) {
	head, report, err := s.log.Verify(ctx)
	fault, broken := errors.AsType[*audit.BundleError](err)
	if err != nil && !broken {
		return api.AuditReport{}, err
	}
	out := api.AuditReport{
		OK: !broken, Fault: "", FaultIndex: nil, Checkpoint: s.checkpointOf(head, nil),
		Checkpoints: report.Checkpoints, Personal: report.Personal, Erased: report.Erased,
		History: api.HistoryOf(report.History),
	}
	if broken {
		out.Fault = fault.Error()
		if fault.Index >= 0 {
			out.FaultIndex = &fault.Index
		}
	}
	return out, nil
}
