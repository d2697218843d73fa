//go:build unix

package check

import (
	"os"
	"os/signal"
	"syscall"
)

// figuresRequests yields the signals that ask for the figures so far: SIGQUIT (Ctrl-\) as of ping and fping, SIGUSR1 as of a scan.
func figuresRequests() (requests <-chan os.Signal, forget func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGQUIT, syscall.SIGUSR1)
	return signals, func() { signal.Stop(signals) }
}
