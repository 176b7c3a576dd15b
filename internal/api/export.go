package api

// A Terraform is what Terraform has to know so that it and Sesame do not undo each
// other's work.
type Terraform struct {
	Snippets []Snippet `json:"snippets" doc:"In the order in which they are read."`
}

// A Snippet is that for one resource of a cloud.
type Snippet struct {
	Firewall string `json:"firewall" doc:"The firewall that Sesame writes."`
	Resource string `json:"resource" doc:"The type of the resource in Terraform, such as aws_security_group."`
	ID       string `json:"id" doc:"The id of the resource in the cloud."`
	HCL      string `json:"hcl" doc:"What to write, with why as comments."`
}
