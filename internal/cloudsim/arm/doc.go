// Package arm is a strict simulator of Azure Resource Manager: a server that the
// Azure SDKs, az and our own provider take for the cloud, and that can be told to
// be as unreliable as a cloud is.
//
//	cloud := arm.New(arm.Config{Config: rp.Config{Latency: 2 * time.Second}})
//	machines, err := cloud.Fleet(100, 1)
//	server := httptest.NewTLSServer(cloud) // or cloud.Client(), without a network
//	cloud.Inject(fault.Fault{Kind: fault.Lie, Method: "PUT", Rate: 0.01})
//	verdict := cloud.Connect(client, machines[0].ID, 22)
//
// Package world says how documents are kept and judged, package rp how writes
// become operations, package packet who gets in, package gate who may call and
// how often, package fault what can go wrong, and package fleet fills a
// subscription. Here is the wire.
//
// # What is simulated
//
//   - GET, LIST, PUT and DELETE of resource groups, virtual machines, network
//     interfaces, virtual networks, network and application security groups,
//     public addresses, load balancers, route tables, Azure Firewalls, firewall
//     policies and their rule collection groups, IP groups, Bastion hosts and
//     network managers; the same of what is embedded in them, such as security
//     rules, subnets, peerings and IP configurations; PATCH of tags.
//   - Subscriptions, tenants, the subscriptions of a management group.
//   - Pages with nextLink, $top and $skipToken. Ids in any case.
//   - Operations: 201, 200 and 202, provisioningState, Azure-AsyncOperation,
//     Location, Retry-After, a latency for each type; the entity tag changes when
//     the operation ends, as it was recorded. The children of a resource share
//     its entity tag.
//   - If-Match and If-None-Match, and a switch that makes them be ignored, for
//     resources and for children: it is not known whether Azure honours them
//     everywhere.
//   - One operation at a time: 429 RetryableErrorDueToAnotherOperation and
//     ReferencedResourceNotProvisioned, 409 AnotherOperationInProgress,
//     CanceledAndSupersededDueToAnotherOperation.
//   - Bearer tokens with actions and scopes, the join actions of what is linked
//     included; token buckets with their headers.
//   - The power of virtual machines, their instance views, effective network
//     security groups (without the expansion of service tags), effective security
//     admin rules.
//   - The cloud's metadata, for az cloud register, and the managed identity
//     endpoint of App Service, for az login --identity and azidentity.
//
// # What is not
//
//   - No other resource types, no Resource Graph, no deployments, no batches, no
//     policies, no locks, no activity log, no role assignments. A type that is not
//     listed above answers InvalidResourceType.
//   - Any api-version is accepted that looks like one, and all show the same.
//   - Nothing is filled in that a client leaves out, but for what the server
//     alone writes: no addresses are given out, no defaults. A network interface
//     without a private address is refused.
//   - Security admin rules are given as they are effective; configurations of
//     network managers are documents without a meaning.
//   - Buckets are not kept by region. Polling an operation counts as reading.
//   - The codes of a few refusals are ours, where none was recorded: see package
//     world.
//   - Whether Azure takes a whole group that is written while a child of it is
//     being written is not known. Here it answers 429.
//
// Two things are stricter than Azure on purpose: a service tag that is not in
// our list is refused like one with a spelling mistake, and a document that names
// itself differently from its address is refused.
package arm
