// Command rawshake tells whether TCP endpoints answer, with crafted packets: SYN, SYN-ACK, RST. It is a thin shell over the
// packages of this module; `rawshake help` lists what it does.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rawshake/rawshake/cmd/rawshake/internal/exit"
	"github.com/spf13/cobra"
)

func main() {
	ctx := untilSignal(context.Background())
	os.Exit(int(run(ctx, os.Args[1:], os.Stdout, os.Stderr)))
}

// run runs one command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) exit.Code {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	err = classify(err)
	complain(stderr, cmd, err)
	return exit.Of(err)
}

// complain says what went wrong, unless the output has said it.
func complain(w io.Writer, cmd *cobra.Command, err error) {
	if err == nil || silent(err) {
		return
	}
	fmt.Fprintf(w, "%s: %s\n", cmd.CommandPath(), explain(cmd, err))
	if exit.Of(err) == exit.Usage {
		fmt.Fprintf(w, "`%s --help` shows examples.\n", cmd.CommandPath())
	}
}

// untilSignal returns a context that the first SIGINT, SIGTERM or SIGHUP ends, with an [exit.Signal] as the cause; a later one ends
// the program at once. SIGINT counts also where a shell has it ignored by default, SIGHUP does not under nohup(1).
func untilSignal(parent context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	go func() { os.Exit(int(heed(signals, cancel))) }()
	return ctx
}

// oneSignal is how long a signal that comes again is the same one: timeout(1) sends to its child and then to the whole group, and a
// summary or a checkpoint takes a moment.
const oneSignal = time.Second

// heed ends the context by the first signal, and returns with the code of one that comes later.
func heed(signals <-chan os.Signal, end context.CancelCauseFunc) exit.Code {
	end(exit.Signal{Signal: <-signals})
	for first := time.Now(); ; {
		again := exit.Signal{Signal: <-signals}
		if time.Since(first) >= oneSignal {
			return again.Code()
		}
	}
}
