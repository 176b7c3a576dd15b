package arm

// A Policy is a just-in-time network access policy.
type Policy struct {
	ID         string     `json:"id,omitzero"`
	Name       string     `json:"name,omitzero"`
	Type       string     `json:"type,omitzero"`
	Kind       string     `json:"kind,omitzero"`
	Location   string     `json:"location,omitzero"`
	Properties Properties `json:"properties"`
	SystemData ignored    `json:"systemData,omitzero"`
	Etag       ignored    `json:"etag,omitzero"`
}

// Properties are what a policy says.
type Properties struct {
	VirtualMachines   []VirtualMachine `json:"virtualMachines"`
	Requests          []Request        `json:"requests"`
	ProvisioningState string           `json:"provisioningState,omitzero"`
	AppendMode        ignored          `json:"appendMode,omitzero"`
}

// A VirtualMachine is a VM of a policy with its ports.
type VirtualMachine struct {
	ID    string     `json:"id"`
	Ports []PortRule `json:"ports"`
	// PublicIPAddress is where clients are sent that come through a firewall. It is
	// kept and says nothing: what a packet passes is in the inventory.
	PublicIPAddress string `json:"publicIpAddress,omitzero"`
}

// A PortRule says who may ask for a port, and for how long.
type PortRule struct {
	Number   Number   `json:"number"`
	Protocol string   `json:"protocol"`
	Source   string   `json:"allowedSourceAddressPrefix,omitzero"`
	Sources  []string `json:"allowedSourceAddressPrefixes,omitempty"`
	Max      string   `json:"maxRequestAccessDuration"`
}

// A Request is what somebody asked for, and how it stands.
type Request struct {
	VirtualMachines []RequestedVM `json:"virtualMachines"`
	Start           string        `json:"startTimeUtc"`
	Requestor       string        `json:"requestor"`
	Justification   string        `json:"justification,omitzero"`
}

// A RequestedVM is a VM of a request with its ports.
type RequestedVM struct {
	ID    string          `json:"id"`
	Ports []RequestedPort `json:"ports"`
}

// A RequestedPort is how one port of a request stands.
type RequestedPort struct {
	Number       Number   `json:"number"`
	Source       string   `json:"allowedSourceAddressPrefix,omitzero"`
	Sources      []string `json:"allowedSourceAddressPrefixes,omitempty"`
	End          string   `json:"endTimeUtc"`
	Status       string   `json:"status"`
	StatusReason string   `json:"statusReason"`
	MappedPort   ignored  `json:"mappedPort,omitzero"`
}

// The states of a port, and why it is in them. Initiating is not in Azure's list,
// and in its answers.
const (
	Initiating = "Initiating"
	Initiated  = "Initiated"
	Revoked    = "Revoked"

	Expired               = "Expired"
	UserRequested         = "UserRequested"
	NewerRequestInitiated = "NewerRequestInitiated"
)

// The provisioning states: whether the firewalls show the locks.
const (
	Succeeded = "Succeeded"
	Updating  = "Updating"
)

// An Initiate asks for ports of VMs of a policy.
type Initiate struct {
	VirtualMachines []InitiateVM `json:"virtualMachines"`
	Justification   string       `json:"justification,omitzero"`

	Start     ignored `json:"startTimeUtc,omitzero"` // of an answer
	Requestor ignored `json:"requestor,omitzero"`
}

// An InitiateVM is a VM that ports are asked for of.
type InitiateVM struct {
	ID    string         `json:"id"`
	Ports []InitiatePort `json:"ports"`
}

// An InitiatePort asks for a port, until an instant or for a duration. Without a
// source it is the caller's own address.
type InitiatePort struct {
	Number   Number   `json:"number"`
	End      string   `json:"endTimeUtc,omitzero"`
	Duration string   `json:"duration,omitzero"`
	Source   string   `json:"allowedSourceAddressPrefix,omitzero"`
	Sources  []string `json:"allowedSourceAddressPrefixes,omitempty"`

	Status       ignored `json:"status,omitzero"` // of an answer
	StatusReason ignored `json:"statusReason,omitzero"`
	MappedPort   ignored `json:"mappedPort,omitzero"`
}
