package rawshake

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestDifferenceNoPrivilege(t *testing.T) {
	if os.Getenv("RAWSHAKE_CHILD") == "no privilege" {
		childWithoutPrivilege(t)
		return
	}
	if !hasRaw {
		t.Skip("this build has no raw engine")
	}
	runChild(t, "no privilege", withoutPrivilege(t))
}

// childWithoutPrivilege does what tcp-shaker's README says, as a user that may not open raw sockets.
func childWithoutPrivilege(t *testing.T) {
	c := NewChecker()
	failed := make(chan error, 1)
	go func() { failed <- c.CheckingLoop(context.Background()) }()
	<-c.WaitReady()
	for _, err := range []error{<-failed, c.CheckAddr("127.0.0.1:1", time.Second), DefaultChecker().CheckAddr("127.0.0.1:1", time.Second)} {
		if !errors.Is(err, os.ErrPermission) {
			t.Errorf("error %v, want a permission error", err)
		}
		if err != nil && !strings.Contains(err.Error(), "CAP_NET_RAW") {
			t.Errorf("error %q does not name CAP_NET_RAW", err)
		}
	}
	c = started(t, NewCheckerConfig(Config{Method: MethodAuto}))
	wantErrConnect(t, c.CheckAddr(refusing(t, "127.0.0.1:0"), time.Second), syscall.ECONNREFUSED)
}
