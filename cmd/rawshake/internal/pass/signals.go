//go:build linux && !android

package pass

import (
	"os"
	"os/signal"
	"syscall"
)

// acceptSignals keeps the signals that may come during a pass from ending it: SIGUSR1 is a request to print the progress, and
// SIGPIPE reads better as the error of a write. SIGINT, SIGTERM and SIGHUP end the context of the command.
func acceptSignals() (requests <-chan struct{}) {
	signal.Ignore(syscall.SIGPIPE)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	asked := make(chan struct{}, 1)
	go func() {
		for range signals {
			select {
			case asked <- struct{}{}:
			default:
			}
		}
	}()
	return asked
}
