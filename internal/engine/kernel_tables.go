//go:build linux && !android

package engine

import (
	"errors"
	"sync/atomic"

	"github.com/rawshake/rawshake/raw"
)

// kernelTables are what the kernel tells of the way to targets. Wires that were opened together share them, so that all learn of a
// change at the same time.
type kernelTables struct {
	routes *raw.Routes
	hops   *raw.Neighbours
	links  *raw.Links
	users  atomic.Int32
}

// openTables opens them for n wires, each of which calls release.
func openTables(c KernelConfig, n int) (*kernelTables, error) {
	t := &kernelTables{}
	t.users.Store(int32(n))
	if err := t.open(c); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *kernelTables) open(c KernelConfig) (err error) {
	if t.routes, err = raw.OpenRoutes(raw.RouteConfig{Source: c.Source, Interface: c.Interface, Mark: c.Mark}); err != nil {
		return err
	}
	if c.Bulk {
		t.routes.Remember()
	}
	if t.hops, err = raw.OpenNeighbours(); err != nil {
		return err
	}
	t.links, err = raw.OpenLinks()
	return err
}

// release closes them after the last user.
func (t *kernelTables) release() error {
	if t.users.Add(-1) > 0 {
		return nil
	}
	return t.close()
}

func (t *kernelTables) close() (err error) {
	if t.links != nil {
		err = errors.Join(err, t.links.Close())
	}
	if t.hops != nil {
		err = errors.Join(err, t.hops.Close())
	}
	if t.routes != nil {
		err = errors.Join(err, t.routes.Close())
	}
	return err
}
