package api

// An Approval says how a request stands with those who have to agree.
type Approval struct {
	State  string  `json:"state" enum:"pending,approved,denied,cancelled,expired"`
	Why    string  `json:"why,omitzero" doc:"Whom it waits for, or what became of it."`
	Stages []Stage `json:"stages,omitempty" doc:"Who has to agree, one stage after the other."`
	Left   []Stage `json:"left,omitempty" doc:"Who has yet to agree; the first stage is asked now."`
	Lapses Time    `json:"lapses,omitzero" doc:"When it has waited long enough."`
	Digest string  `json:"digest,omitzero" doc:"What an approval is about: the request and its policies as they are."`
	Votes  []Vote  `json:"votes,omitempty" doc:"What was said, in order."`
}

// A Vote is what one person said.
type Vote struct {
	Choice  string    `json:"choice" enum:"approve,deny,cancel,lapse,review"`
	Stage   string    `json:"stage,omitzero"`
	By      Principal `json:"by"`
	Comment string    `json:"comment,omitzero"`
	At      Time      `json:"at"`
}
