package main

import (
	"context"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
)

// TestHeed: the first signal ends the context; what comes within a second is the same one, what comes later ends the program.
func TestHeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals, code := make(chan os.Signal), make(chan exit.Code, 1)
		ctx, end := context.WithCancelCause(t.Context())
		go func() { code <- heed(signals, end) }()
		signals <- syscall.SIGINT
		signals <- syscall.SIGINT
		time.Sleep(oneSignal - 1)
		signals <- syscall.SIGTERM
		synctest.Wait()
		if s, ok := exit.BySignal(ctx); !ok || s.Signal != syscall.SIGINT {
			t.Errorf("the context ended by %v", context.Cause(ctx))
		}
		if len(code) > 0 {
			t.Fatalf("repeats end the program with %d", <-code)
		}
		time.Sleep(time.Nanosecond)
		signals <- syscall.SIGTERM
		if got := <-code; got != exit.Terminated {
			t.Errorf("exit code %d", got)
		}
	})
}
