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

// untilSignal returns a context that the first SIGINT or SIGTERM ends, with an [exit.Signal] as the cause. The second one ends the
// program at once, also where a shell has it ignore SIGINT by default.
func untilSignal(parent context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		cancel(exit.Signal{Signal: <-signals})
		os.Exit(int(exit.Signal{Signal: <-signals}.Code()))
	}()
	return ctx
}
