package front

import (
	"net/http"
	"strconv"
	"time"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/errkind"
)

// A Stream is an answer that goes on: server-sent events, whose reader has a
// while for each of them.
type Stream struct{ w *Recorder }

// Stream starts an event stream.
func (w *Recorder) Stream() Stream {
	w.Header().Set("Content-Type", Events)
	w.WriteHeader(http.StatusOK)
	return Stream{w: w}
}

// Event writes one event. JSON is one line, so that its data is one, too.
func (s Stream) Event(kind string, id int64, v any) error {
	text, err := api.Encode(v)
	if err != nil {
		return err
	}
	return s.write("id: " + strconv.FormatInt(id, 10) + "\nevent: " + kind + "\ndata: " + string(text) + "\n")
}

// Beat shows that the stream is alive.
func (s Stream) Beat() error { return s.write(": alive\n\n") }

// End tells the reader why the stream ends.
func (s Stream) End(err error) {
	p := api.ProblemOf(err)
	p.RequestID = s.w.id
	if text, err := api.Encode(p); err == nil {
		_ = s.write("event: " + api.EndEvent + "\ndata: " + string(text) + "\n") // nobody is left to be told
	}
}

func (s Stream) write(text string) error {
	if _, err := s.w.patient([]byte(text)); err != nil {
		return err
	}
	return http.NewResponseController(s.w).Flush()
}

// Patient returns w as a writer whose reader has a while for every piece, rather
// than for the whole.
func (w *Recorder) Patient() Patient { return Patient{w: w} }

// Patient writes an answer of any length.
type Patient struct{ w *Recorder }

// Write writes one piece.
func (p Patient) Write(b []byte) (int, error) { return p.w.patient(b) }

func (w *Recorder) patient(b []byte) (int, error) {
	ctl := http.NewResponseController(w)
	_ = ctl.SetWriteDeadline(time.Now().Add(writeTime))
	// The request has been read. Over HTTP/1 the server goes on reading, to notice
	// when the reader goes, and a deadline there would end the request.
	_ = ctl.SetReadDeadline(time.Time{})
	return w.Write(b)
}

// LastEventID reads where a stream is to go on; false when the reader does not
// say. It is at least -1, for all there is.
func LastEventID(r *http.Request) (int64, bool, error) {
	const header = "Last-Event-ID"
	ids := r.Header.Values(header)
	if len(ids) == 0 {
		return 0, false, nil
	}
	n, err := strconv.ParseInt(ids[0], 10, 64)
	if err != nil || n < -1 || len(ids) > 1 || ids[0] != strconv.FormatInt(n, 10) {
		return 0, false, errkind.Bad(header, ids[0], "the index of a record, or -1 for all")
	}
	return n, true, nil
}
