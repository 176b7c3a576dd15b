package demo

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sesame-access/sesame/internal/api"
	"github.com/sesame-access/sesame/internal/api/client"
	"github.com/sesame-access/sesame/internal/audit"
	"github.com/sesame-access/sesame/internal/cli/output"
	"github.com/sesame-access/sesame/internal/demo/ground"
	"github.com/sesame-access/sesame/internal/demo/program"
)

// introduce says what was built, and what of it is real.
func (d *demo) introduce() {
	if d.missing == "" {
		d.line("%s", d.in(bold, "Sesame: three VMs on this machine, each with a real sshd, behind the kernel's firewall"))
	} else {
		d.line("%s", d.in(bold, "Sesame: three VMs behind simulated firewalls; nothing here is real"))
		d.say("(%s)", d.missing)
	}
	d.say("Beside them are two EC2 instances of an AWS and two virtual machines of an Azure, both simulated by this process.")
}

// stay shows what to try, and then what happens, until ctx is done.
func (d *demo) stay(ctx context.Context) error {
	d.introduce()
	d.line("")
	vms, err := d.server.admin.VMs(ctx)
	if err != nil {
		return err
	}
	slices.SortStableFunc(vms, func(a, b api.VM) int { return cmp.Compare(a.Account, b.Account) }) // what is real first
	for _, v := range vms {
		is := "not protected yet"
		for _, door := range v.Doors {
			is = fmt.Sprintf("port %d is closed; who asks gets it for at most %s", door.Port, door.Max)
		}
		if v.Account != "" {
			is += ", and simulated"
		}
		d.line("%s%-9s %-14s %s", margin, v.Name, strings.Join(v.Addresses[:1], ""), is)
	}
	d.line("\n%sYou are %s to them. In another terminal, try", margin, d.site.You)
	d.line("")
	for _, c := range d.commands() {
		d.line("%s  %s", margin, d.in(bold, c))
	}
	d.line("\n%sWhat happens is told here. Ctrl-C ends the demo and removes all of it.\n", margin)
	return d.server.admin.Follow(ctx, client.Filter{}, api.FromNow, func(r api.Record) {
		d.line("%s%s", margin, output.RecordLine(r, time.Now()))
		if !d.tellCloud(r) && d.missing != "" {
			d.tellSimulated(ctx, r)
		}
	})
}

// commands are what to type, in this order.
func (d *demo) commands() []string {
	sesame := program.Typed(d.program.Path)
	look := sesame + " explain " + web
	if d.program.Env.SSHConfig != "" {
		look = "ssh -F " + program.Word(d.program.Env.SSHConfig) + " " + web
		if os.Getenv("SUDO_USER") != "" {
			look = "sudo " + look
		}
	}
	return []string{
		sesame + " vms",
		sesame + ` open ` + web + ` --for 2m --reason "try it"`,
		look,
		sesame + " close " + web,
		sesame + " enable " + ground.Shop + "    # an EC2 instance, simulated",
		sesame + " open " + ground.Shop + " --from " + ground.Office + " --for 2m",
		sesame + " enable " + ground.Jump + "    # an Azure virtual machine, simulated",
		sesame + " open " + ground.Jump + " --from " + ground.Office + " --for 2m",
		sesame + " audit verify",
	}
}

// tellSimulated says who gets in now, where nobody can try it with ssh.
func (d *demo) tellSimulated(ctx context.Context, r api.Record) {
	news := []audit.Kind{audit.Opened, audit.Closed, audit.LockShown, audit.Unlocked, audit.Repaired}
	if r.Door == nil || !slices.Contains(news, audit.Kind(r.Kind)) {
		return
	}
	var said []string
	for _, who := range []struct {
		side ground.Side
		addr netip.Addr
	}{{ground.You, d.site.You}, {ground.Stranger, d.site.Stranger}} {
		through, err := d.ground.Knock(ctx, who.side, name(r.Door.VM), uint16(r.Door.Port))
		if err != nil {
			return
		}
		is := map[bool]string{true: "gets in", false: "does not"}[through]
		said = append(said, fmt.Sprintf("a connection from %s %s", who.addr, is))
	}
	d.line("%s          simulated: %s", margin, strings.Join(said, ", "))
}
