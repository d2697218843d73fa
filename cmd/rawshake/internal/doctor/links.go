//go:build linux && !android

package doctor

import (
	"errors"
	"fmt"
	"slices"

	"github.com/rawshake/rawshake/raw"
)

// links are the network interfaces.
type links struct {
	all []raw.Interface
	err error // why they are not known
}

func readLinks() (l links) {
	l.all, l.err = raw.Interfaces()
	return l
}

// byIndex returns the interface with an index, or one that only has a name to show.
func (l links) byIndex(index int) raw.Interface {
	for _, i := range l.all {
		if i.Index == index {
			return i
		}
	}
	return raw.Interface{Index: index, Name: fmt.Sprintf("interface %d", index)}
}

// names lists those for which wanted holds.
func (l links) names(wanted func(raw.Interface) bool) (names []string) {
	for _, i := range l.all {
		if wanted(i) {
			names = append(names, i.Name)
		}
	}
	return names
}

// onHost reports whether some interface is hardware, or belongs to what a machine runs for its containers.
func (l links) onHost() bool {
	return slices.ContainsFunc(l.all, func(i raw.Interface) bool { return i.Hardware || slices.Contains(hostInterfaces, i.Name) })
}

var hostInterfaces = []string{"docker0", "cni0", "kube-ipvs0", "cilium_host", "flannel.1"}

// byName returns the interface of that name; ok is false where none is known.
func (l links) byName(name string) (raw.Interface, bool) {
	i := slices.IndexFunc(l.all, func(i raw.Interface) bool { return i.Name == name })
	if i < 0 {
		return raw.Interface{}, false
	}
	return l.all[i], true
}

// unlisted is the finding of an examination that needs the interfaces and does not have them.
func unlisted(check string, err error) []Finding {
	return one(check, Info, notExamined(err), openingFix(err, "ip link"))
}

func notExamined(err error) string {
	var missing *raw.PrivilegeError
	if errors.As(err, &missing) {
		return "not examined: " + missing.Situation
	}
	return "not examined: " + err.Error()
}
