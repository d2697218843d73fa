// Package rawshake tells whether TCP endpoints answer, with crafted packets instead of kernel connections.
//
// A probe sends a SYN, recognises the SYN-ACK, RST or ICMP error that answers it, and resets a half-open connection with a
// RST of its own. The application behind the port never notices: accept(2) does not return, nothing is logged.
//
// Two APIs stand side by side. [Prober] is the modern one: [New], [Prober.Probe], [Prober.ProbeAll]. [Checker] is that of
// github.com/tevino/tcp-shaker: a program that imports that package as tcp compiles and behaves with only the import path
// changed.
//
// # Outcomes and errors
//
// What a probe found out about its target is data: [Result.State] is open, closed, unreachable, filtered or unsent, and
// every target ends in exactly one of them. An error of [Prober.Probe] means that the prober could not do its job: it was
// closed, or the context ended. Only the [Checker] turns states into errors, with exactly that package's types.
//
// # Cancellation
//
// [Prober.Probe] and [Prober.ProbeAll] take a [context.Context] and return its cause when it ends first; [Prober.Close] ends
// them, too. The calls of tcp-shaker's API have the signatures that they have there: [Checker.CheckAddr] ends with its timeout
// or with [Checker.CheckingLoop], which has a context. Close takes none, because it waits for nobody else.
//
// # Privileges
//
// On Linux the packets need CAP_NET_RAW and nothing else. Without it [New] fails with one error that names the fix, and
// errors.Is(err, os.ErrPermission) holds. Falling back to connect(2) happens only where the platform is not Linux, or where
// [Config.Method] asks for it; [Result.Method] says which method produced a result.
package rawshake
