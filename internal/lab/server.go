//go:build linux && !android

package lab

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
)

// server answers what the body asks for, one request after the other.
type server struct {
	world   *world
	conn    *net.UnixConn
	handles map[int]*handle
	last    int
	outcome outcome
}

// handle is something that was made: it can be undone and, if the function or the process is there, read or signalled.
type handle struct {
	undo    func() error
	read    func() (any, error)
	process *os.Process
}

// outcome is what the second process says about the test at its end. Ended false: it never got that far.
type outcome struct{ Ended, Skipped bool }

// call is one request on its way.
type call struct {
	*node
	server *server
	in     []*os.File // that came with it; closed after it
	out    []*os.File // that go back; closed when sent
	handle *handle    // kept if not nil
}

type operation func(*call, json.RawMessage) (any, error)

// op makes an operation of a function with typed arguments.
func op[A any](fn func(*call, A) (any, error)) operation {
	return func(c *call, raw json.RawMessage) (any, error) {
		var args A
		if err := json.Unmarshal(raw, &args); err != nil {
			return nil, err
		}
		return fn(c, args)
	}
}

type none struct{}

func operations() map[string]operation {
	return map[string]operation{
		"hosts":      op(opHosts),
		"end":        op(opEnd),
		"undo":       op(opUndo),
		"read":       op(opRead),
		"listen":     op(opListen),
		"packets":    op(opPackets),
		"script":     op(opScript),
		"respond":    op(opRespond),
		"deafen":     op(opDeafen),
		"lose":       op(opLose),
		"overflow":   op(opOverflow),
		"nft":        op(opNft),
		"sysctl":     op(opSysctl),
		"link":       op(opLink),
		"address":    op(opAddress),
		"route":      op(opRoute),
		"rule":       op(opRule),
		"neighbours": op(opNeighbours),
		"crowd":      op(opCrowd),
		"knows":      op(opKnows),
		"neighbour":  op(opNeighbour),
		"tunnel":     op(opTunnel),
		"start":      op(opStart),
		"signal":     op(opSignal),
	}
}

// serve returns when the other end is closed.
func (s *server) serve() {
	operations := operations()
	for {
		var r request
		files, err := readMessage(s.conn, &r)
		if err != nil {
			return
		}
		c := &call{server: s, in: files, node: s.world.nodes[r.Host]}
		answer := c.perform(operations[r.Op], r)
		err = writeMessage(s.conn, answer, c.out)
		for _, f := range append(c.in, c.out...) {
			f.Close()
		}
		if err != nil {
			return
		}
	}
}

func (c *call) perform(operation operation, r request) reply {
	if operation == nil {
		return reply{Err: "no such operation"}
	}
	if c.node == nil && r.Host != "" {
		return reply{Err: "no such host"}
	}
	value, err := operation(c, r.Args)
	if err != nil {
		return reply{Err: err.Error()}
	}
	body, err := json.Marshal(value)
	if err != nil {
		return reply{Err: err.Error()}
	}
	answer := reply{Value: body}
	if c.handle != nil {
		c.server.last++
		c.server.handles[c.server.last] = c.handle
		answer.Handle = c.server.last
	}
	return answer
}

// undoBy keeps the way back; it is gone when the test ends or asks for it.
func (c *call) undoBy(undo func() error) { c.handle = &handle{undo: undo} }

// close undoes what is left, which stops processes and frees BPF programs.
func (s *server) close() {
	s.conn.Close()
	for _, h := range s.handles {
		h.undo() // the namespaces go too: nobody is left to hear of an error
	}
}

func opEnd(c *call, o outcome) (any, error) {
	c.server.outcome = o
	return none{}, nil
}

func opUndo(c *call, id int) (any, error) {
	h := c.server.handles[id]
	if h == nil {
		return nil, fmt.Errorf("handle %d is gone", id)
	}
	delete(c.server.handles, id)
	return none{}, h.undo()
}

func opRead(c *call, id int) (any, error) {
	h := c.server.handles[id]
	if h == nil || h.read == nil {
		return nil, fmt.Errorf("handle %d cannot be read", id)
	}
	return h.read()
}
