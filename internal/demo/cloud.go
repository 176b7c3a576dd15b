package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/authz"
	"github.com/sesame-access/sesame/internal/demo/ground"
	"github.com/sesame-access/sesame/internal/firewall"
	"github.com/sesame-access/sesame/internal/provider"
)

// httpsPort is what a simulated shop is there for.
const httpsPort = 443

// beside adds the firewalls of accounts to those of a ground.
func beside(site ground.Site, accounts ...ground.Account) ground.Site {
	others := site.Providers
	site.Providers = func(keys firewall.Keyring) (all []provider.Provider) {
		if others != nil {
			all = others(keys)
		}
		for _, a := range accounts {
			all = append(all, a.Providers(keys)...)
		}
		return all
	}
	return site
}

// aloft is the chapter in a cloud: from enable to disable, after which every
// security group says what it said before.
func (s *story) aloft(ctx context.Context) error {
	s.say("%s and %s are EC2 instances, in an AWS that this process simulates: its API, its quotas, its packets. "+
		"Security groups cannot deny, so a lock takes out the rule that lets the world in, and keeps a record of it.", ground.Shop, ground.ShopData)
	before := s.cloud.Rules()
	if err := s.reaches(s.cloud, ground.Shop, true, sshPort, ground.Office, ground.Elsewhere); err != nil {
		return err
	}
	s.ok("simulated: anybody gets to %s:22", ground.Shop)
	if err := s.types(ctx, authz.Admin, 0, "enable", ground.Shop, "--yes"); err != nil {
		return err
	}
	if err := s.reaches(s.cloud, ground.Shop, false, sshPort, ground.Office, ground.Elsewhere); err != nil {
		return err
	}
	if err := s.reaches(s.cloud, ground.Shop, true, httpsPort, ground.Elsewhere); err != nil {
		return err
	}
	s.ok("simulated: nobody does any more, and customers still get to port 443")
	if err := s.types(ctx, authz.Requester, 0, "open", ground.Shop, "--from", ground.Office, "--for", "2m", "--reason", "restart the till"); err != nil {
		return err
	}
	if err := s.reaches(s.cloud, ground.Shop, true, sshPort, ground.Office); err != nil {
		return err
	}
	if err := s.reaches(s.cloud, ground.Shop, false, sshPort, ground.Elsewhere); err != nil {
		return err
	}
	s.ok("simulated: %s gets in, %s does not", ground.Office, ground.Elsewhere)
	if err := s.types(ctx, authz.Requester, 0, "close", ground.Shop); err != nil {
		return err
	}
	if err := s.reaches(s.cloud, ground.Shop, false, sshPort, ground.Office, ground.Elsewhere); err != nil {
		return err
	}
	if err := s.types(ctx, authz.Admin, 0, "disable", ground.Shop, "--yes", "--restore-open"); err != nil {
		return err
	}
	if err := s.restored(ctx, s.cloud, before); err != nil {
		return err
	}
	s.ok("simulated: every security group says what it said before")
	return s.reaches(s.cloud, ground.Shop, true, sshPort, ground.Office, ground.Elsewhere)
}

// reaches fails unless connections from the simulated internet to a machine get
// through, or do not.
func (s *story) reaches(in ground.Account, machine string, open bool, port uint16, from ...string) error {
	for _, addr := range from {
		through, err := in.Knock(addr, machine, port)
		if err != nil {
			return err
		}
		if through != open {
			is := map[bool]string{true: "open", false: "closed"}[through]
			return fmt.Errorf("%w: %s:%d is %s for %s", errNotAsTold, machine, port, is, addr)
		}
	}
	return nil
}

// restored waits until the firewalls of an account say what they said before.
func (s *story) restored(ctx context.Context, in ground.Account, before string) error {
	ctx, cancel := context.WithTimeout(ctx, patienceOfClaims)
	defer cancel()
	for in.Rules() != before {
		if err := pause(ctx, pollEvery); err != nil {
			return fmt.Errorf("%w: the firewalls say\n%s\nand said\n%s", errNotAsTold, in.Rules(), before)
		}
	}
	return nil
}

// tellCloud says who gets in now, where a record is about a cloud. It reports
// whether it is.
func (d *demo) tellCloud(r api.Record) bool {
	news := []audit.Kind{audit.Opened, audit.Closed, audit.LockShown, audit.Unlocked, audit.Repaired}
	for _, in := range d.accounts() {
		called := in.Called(firewall.VMID(r.VM))
		if called == "" {
			continue
		}
		var said []string
		for _, addr := range []string{ground.Office, ground.Elsewhere} {
			if r.Door == nil || !slices.Contains(news, audit.Kind(r.Kind)) {
				return true
			}
			through, err := in.Knock(addr, called, uint16(r.Door.Port))
			if err != nil {
				return true
			}
			said = append(said, fmt.Sprintf("a connection from %s %s", addr, map[bool]string{true: "gets in", false: "does not"}[through]))
		}
		d.line("%s          simulated: %s", margin, strings.Join(said, ", "))
		return true
	}
	return false
}

// accounts are those of the clouds that are simulated beside the ground.
func (d *demo) accounts() []ground.Account { return []ground.Account{d.cloud, d.tenant} }
