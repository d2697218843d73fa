package checkpoint

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Options are the flags of a scan and their values as they were given: "rate": ["10k"].
type Options map[string][]string

// Lines returns the options as sorted texts "name=value", in the form that a hash over them wants. Values of one flag
// keep their order.
func (o Options) Lines() []string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(o)) {
		for _, value := range o[name] {
			lines = append(lines, name+"="+value)
		}
	}
	return lines
}

// Conflict fails when given, the flags beside --resume, says something else than o, the flags that the scan began with.
// Flags that say the same are fine.
func (o Options) Conflict(given Options) error {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if was := o[name]; !slices.Equal(was, given[name]) {
			return fmt.Errorf("--%s is %s in the checkpoint and %s here: a resumed scan keeps its options; leave the flag out, or "+
				"start anew without --resume", name, valueText(was), valueText(given[name]))
		}
	}
	return nil
}

func valueText(values []string) string {
	if len(values) == 0 {
		return "not given"
	}
	return fmt.Sprintf("%q", strings.Join(values, " "))
}
