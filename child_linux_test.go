package rawshake

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// child returns the command that runs the calling test once more in a process of its own, with RAWSHAKE_CHILD=role.
func child(t *testing.T, role string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "RAWSHAKE_CHILD="+role)
	return cmd
}

// runChild runs a child to its end and fails with its output if it fails.
func runChild(t *testing.T, role string, attr *syscall.SysProcAttr) {
	t.Helper()
	cmd := child(t, role)
	cmd.SysProcAttr = attr
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("child %q: %v\n%s", role, err, out)
	}
}

// withoutPrivilege makes a child an ordinary user.
func withoutPrivilege(t *testing.T) *syscall.SysProcAttr {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
}
