// Package estate reads the inventory of Azure subscriptions over Azure Resource
// Manager: which virtual machines there are, and everything that packets to them
// meet.
//
// # What is read
//
// Lists of every subscription in scope, page by page: virtual machines and their
// power, network interfaces, virtual networks with their subnets and peerings,
// network and application security groups, public addresses, load balancers,
// route tables, Azure Firewalls, firewall policies, IP groups. Then what no list
// holds: the effective security admin rules of each network, the rule collection
// groups of each policy, and parent policies outside of the scope. Package topology
// joins the documents, which stay as Azure wrote them, and package path says who
// comes to a machine. What is asked for, and so which rights the reader needs,
// [Actions] lists.
//
// A network that is peered with one in scope is not read because of that: a hub
// belongs into the scope, or nobody knows what its routes do.
//
// # What could not be read
//
// An inventory never becomes smaller because something failed. A page is asked for
// again while there is patience; those before it are kept. When it fails for good:
//
//   - machines, interfaces, networks, load balancers, firewalls and policies of the
//     last complete list stay, so that machines keep their paths. The machines that
//     it is about say so in Missing. A load balancer or a firewall that is not known
//     may lead to any machine, so that all of them say so.
//   - groups, route tables, public addresses, IP groups and admin rules are not
//     guessed from what they were: they are unknown on the way. A machine whose own
//     network security group was not read says so.
//
// On the power of machines nothing depends. A list that is complete is believed: a
// machine that is not in it is gone. A subscription that is not registered for a
// resource provider has nothing of it. Ids know no case; a machine keeps the spelling
// in which it was first seen.
//
// # Being refused
//
// Azure Resource Manager counts calls in a bucket for each subscription, principal
// and kind of call, and says in headers what is left (learn.microsoft.com:
// understand how Azure Resource Manager throttles requests; 2024). When little is
// left calls go out more slowly than the bucket fills, so that those who have to
// close something find it not empty. After a refusal nobody calls before the time
// that it names: calls before that are refused as well.
//
// # Whom to trust
//
// A page says where the next one is. The token is sent nowhere but to the endpoint
// that was configured, and no page is asked for twice. Everything has a limit: the
// size of a page, the number of pages, the time of a try.
package estate
