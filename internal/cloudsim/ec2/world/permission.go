package world

import "slices"

// What changes the rules of a group: all of a call or nothing.

// rules checks the rules of a call. None may stand there twice.
func (w *World) rules(m Moment, g Group, egress bool, specs []Spec) ([]Rule, error) {
	if len(specs) == 0 {
		return nil, Refuse("MissingParameter", "The request must contain the parameter ipPermissions")
	}
	var out []Rule
	for _, s := range specs {
		r, err := w.rule(m, g, egress, s)
		if err != nil {
			return nil, err
		}
		if holds(out, r) >= 0 {
			return nil, Refuse("InvalidParameterValue", "The same permission must not appear multiple times")
		}
		out = append(out, r)
	}
	return out, nil
}

// holds returns the place of the rule with r's content, or -1.
func holds(rules []Rule, r Rule) int {
	content := r.Content()
	return slices.IndexFunc(rules, func(x Rule) bool { return x.Content() == content })
}

// Authorize adds rules to a group and returns them with their ids.
func (w *World) Authorize(m Moment, account, id string, egress bool, specs []Spec, tags Tags) ([]Rule, error) {
	g, err := w.Group(m, account, id)
	if err != nil {
		return nil, err
	}
	added, err := w.rules(m, g, egress, specs)
	if err != nil {
		return nil, err
	}
	if tags, err = Tags(nil).merged(tags); err != nil {
		return nil, err
	}
	for i := range added {
		if holds(g.Rules, added[i]) >= 0 {
			return nil, added[i].duplicate()
		}
		added[i].Tags = tags
	}
	if err := w.checkRoom(m, slices.Concat(g.Rules, added)); err != nil {
		return nil, err
	}
	for i := range added {
		added[i].ID = w.ID("sgr")
	}
	w.putRules(m, g, slices.Concat(g.Rules, added))
	return added, nil
}

// Revoke takes the rules out of a group that have the content of the specs. If
// one is not there nothing is done, except in a default VPC, where the unknown
// ones are returned and the others go. (EC2 API reference,
// RevokeSecurityGroupIngress.)
func (w *World) Revoke(m Moment, account, id string, egress bool, specs []Spec) (gone, unknown []Rule, err error) {
	g, err := w.Group(m, account, id)
	if err != nil {
		return nil, nil, err
	}
	named, err := w.rules(m, g, egress, specs)
	if err != nil {
		return nil, nil, err
	}
	left := slices.Clone(g.Rules)
	for _, r := range named {
		i := holds(left, r)
		if i < 0 {
			unknown = append(unknown, r)
			continue
		}
		gone = append(gone, left[i])
		left = slices.Delete(left, i, i+1)
	}
	if v, _ := w.VPCs.Get(m.Now, g.VPC); len(unknown) > 0 && !v.Default {
		return nil, nil, Refuse("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
	}
	w.putRules(m, g, left)
	return gone, unknown, nil
}

// RevokeByID takes the rules with the given ids out of a group.
func (w *World) RevokeByID(m Moment, account, id string, egress bool, ids []string) ([]Rule, error) {
	g, err := w.Group(m, account, id)
	if err != nil {
		return nil, err
	}
	left := slices.Clone(g.Rules)
	var gone []Rule
	for _, rule := range ids {
		i := slices.IndexFunc(left, func(r Rule) bool { return r.ID == rule && r.Egress == egress })
		if i < 0 {
			return nil, w.Absent("sgr", rule)
		}
		gone = append(gone, left[i])
		left = slices.Delete(left, i, i+1)
	}
	w.putRules(m, g, left)
	return gone, nil
}

// An Update is what a rule becomes.
type Update struct {
	Rule string // its id
	Spec Spec
}

// ModifyRules changes rules of a group in place, all at once. They keep their
// ids, tags, direction and the kind of their source.
func (w *World) ModifyRules(m Moment, account, id string, updates []Update) error {
	g, err := w.Group(m, account, id)
	if err != nil {
		return err
	}
	if len(updates) == 0 {
		return Refuse("MissingParameter", "The request must contain the parameter SecurityGroupRules")
	}
	rules := slices.Clone(g.Rules)
	var done []int
	for _, u := range updates {
		i := slices.IndexFunc(rules, func(r Rule) bool { return r.ID == u.Rule })
		if i < 0 {
			return w.Absent("sgr", u.Rule)
		}
		if slices.Contains(done, i) {
			return Refuse("InvalidParameterValue", "The same security group rule ID must not appear multiple times")
		}
		r, err := w.rule(m, g, rules[i].Egress, u.Spec)
		if err != nil {
			return err
		}
		if was := rules[i].kind(); r.kind() != was {
			return Refuse("InvalidParameterValue", "You cannot change the type of a rule: %s has a %s", u.Rule, was)
		}
		r.ID, r.Tags = rules[i].ID, rules[i].Tags
		rules[i], done = r, append(done, i)
	}
	for i, r := range rules {
		if holds(rules, r) != i {
			return r.duplicate()
		}
	}
	if err := w.checkRoom(m, rules); err != nil {
		return err
	}
	w.putRules(m, g, rules)
	return nil
}

// DescribeRules gives rules of a group other descriptions: those that have the
// content of the specs, or those with the given ids.
func (w *World) DescribeRules(m Moment, account, id string, egress bool, specs []Spec, byID map[string]string) error {
	g, err := w.Group(m, account, id)
	if err != nil {
		return err
	}
	rules := slices.Clone(g.Rules)
	if len(byID) == 0 {
		named, err := w.rules(m, g, egress, specs)
		if err != nil {
			return err
		}
		for _, r := range named {
			i := holds(rules, r)
			if i < 0 {
				return Refuse("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
			}
			rules[i].Description = r.Description
		}
	}
	for rule, description := range byID {
		i := slices.IndexFunc(rules, func(r Rule) bool { return r.ID == rule && r.Egress == egress })
		if i < 0 {
			return w.Absent("sgr", rule)
		}
		if !sayable(description) {
			return Refuse("InvalidParameterValue", "Invalid rule description.")
		}
		rules[i].Description = description
	}
	w.putRules(m, g, rules)
	return nil
}
