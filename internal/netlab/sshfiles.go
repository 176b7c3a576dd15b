package netlab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// sshFiles writes what clients and servers read. No path in it needs quoting:
// newDir sees to that.
type sshFiles struct {
	dir  string // the lab's
	user string // whom clients log in as
}

// writeSSHFiles writes one key that opens every VM, the files of every server,
// and a configuration by which clients know them.
func writeSSHFiles(ctx context.Context, dir, user string, vms []*VM) error {
	f := sshFiles{dir: dir, user: user}
	public, err := f.newKey(ctx, "id_ed25519")
	if err != nil {
		return err
	}
	var known, hosts strings.Builder
	for _, v := range vms {
		public, err := f.addServer(ctx, v.name)
		if err != nil {
			return err
		}
		fmt.Fprintf(&known, "%s %s\n", v.name, public)
		fmt.Fprintf(&hosts, "Host %s\n  HostName %s\n  HostKeyAlias %s\n", v.name, v.addr4, v.name)
		if v.addr6.IsValid() {
			fmt.Fprintf(&hosts, "Host %s.v6\n  HostName %s\n  HostKeyAlias %s\n", v.name, v.addr6, v.name)
		}
	}
	return errors.Join(
		f.write("authorized_keys", public+"\n"),
		f.write("known_hosts", known.String()),
		f.write("ssh_config", hosts.String()+f.clientConfig()),
	)
}

// addServer writes the files of one server and returns its public key.
func (f sshFiles) addServer(ctx context.Context, name string) (public string, err error) {
	dir := filepath.Join(f.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", fmt.Errorf("make a directory for %s: %w", name, err)
	}
	if public, err = f.newKey(ctx, filepath.Join(name, "host_key")); err != nil {
		return "", err
	}
	return public, errors.Join(
		f.write(filepath.Join(name, "sshd_config"), f.serverConfig(dir)),
		f.write(filepath.Join(name, "shadow"), f.user+":*:::::::\n"),
	)
}

// newKey makes a key pair without passphrase and returns its public part.
func (f sshFiles) newKey(ctx context.Context, name string) (public string, err error) {
	path := filepath.Join(f.dir, name)
	keygen := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "sesame-lab")
	keygen.Args = append(keygen.Args, "-f", path)
	out, err := keygen.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("make a key with ssh-keygen: %w: %s", err, out)
	}
	text, err := os.ReadFile(path + ".pub")
	if err == nil {
		err = os.Remove(path + ".pub") // nobody else needs it
	}
	if err != nil {
		return "", fmt.Errorf("take the key's public part: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

func (f sshFiles) write(name, text string) error {
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the lab's files: %w", err)
	}
	return nil
}

// clientConfig is what holds for every VM: only the lab's own keys, no question
// ever, and a closed port is told after four seconds.
func (f sshFiles) clientConfig() string {
	return fmt.Sprintf(`Host *
  User %s
  IdentityFile %s/id_ed25519
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile %s/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  UpdateHostKeys no
  PreferredAuthentications publickey
  BatchMode yes
  ConnectTimeout 4
  ServerAliveInterval 0
  LogLevel ERROR
`, f.user, f.dir, f.dir)
}

// serverConfig is a server that knows one key and says nothing at login.
func (f sshFiles) serverConfig(vmDir string) string {
	return fmt.Sprintf(`Port 22
HostKey %s/host_key
AuthorizedKeysFile %s/authorized_keys
AllowUsers %s
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
UseDNS no
PidFile none
PrintMotd no
PrintLastLog no
PermitUserRC no
X11Forwarding no
AcceptEnv LANG LC_*
Subsystem sftp internal-sftp
MaxStartups 200
LogLevel INFO
`, vmDir, f.dir, f.user)
}
