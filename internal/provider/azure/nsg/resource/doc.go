// Package resource is a network security group as Azure Resource Manager stores
// it: a JSON document that is read strictly enough to reason about, and edited
// without being written anew.
//
// # Reading
//
// [Parse] reads the parts that decide about packets, and nothing else. Enums and
// resource ids are compared without regard to case, since Azure does not return
// them in one case. A rule has twin fields for one value and for several; the API
// returns both, the unused one empty. A rule that fills both, or none, that has a
// key twice or in another case, or a value that is not understood, is opaque: it
// says why, it is never touched, and nobody may count on what it does. Only where
// the list of rules itself is ambiguous does Parse fail.
//
// Fields that are not known do not make a rule opaque: an api-version, which the
// caller fixes, adds no fields that change what rules mean.
//
// # Editing
//
// A document that went through a model has lost what the model does not know. So
// [Group.Edit] cuts and pastes: the bytes of every rule that is not named by an
// edit, of everything around the list, and of the separators between rules that
// stay are those that were read, whatever they are. Adding a rule and deleting it
// again gives the document that was read, byte for byte. An edit of a rule whose
// name does not begin with the given prefix is an error: what is foreign cannot be
// edited by mistake.
//
// Everything is a pure function of its arguments.
package resource
