//go:build linux && !android

package scan

import (
	"strings"
	"testing"
	"time"

	"github.com/rawshake/rawshake"
)

// New says which field is wrong, and what it wants, before it opens anything.
func TestConfigErrors(t *testing.T) {
	for _, c := range []struct {
		change func(*Config)
		says   string
	}{
		{func(c *Config) { c.Targets = nil }, "Config.Targets is nil: compile a target.Spec"},
		{func(c *Config) { c.Timeout = -time.Second }, "Config.Timeout is -1s: want a positive time, or 0 for 3s"},
		{func(c *Config) { c.Attempts = -1 }, "-1 attempts: want 1 to "},
		{func(c *Config) { c.Layer = 9 }, "Config.Layer is Layer(9): want LayerIP or LayerEthernet"},
		{func(c *Config) { c.Layer, c.Mark = rawshake.LayerEthernet, 7 }, "whole frames are not routed by their mark; use LayerIP"},
		{func(c *Config) { c.MaxInFlight = -1 }, "Config.MaxInFlight is -1: want a positive number, or 0 for 1048576"},
		{func(c *Config) { c.MaxInFlight, c.Lanes = 2, 3 }, "Config.MaxInFlight is 2, less than the 3 lanes"},
		{func(c *Config) { c.Options = 99 }, "Config.Options is style(99): want MSSOnly, Linux, Windows, BSD or NoOptions of package rawshake"},
	} {
		config := Config{Targets: space(t, "80", "198.18.0.0/30"), openWires: (&world{}).open}
		c.change(&config)
		if s, err := New(config); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %q", err, c.says)
			if err == nil {
				s.Close()
			}
		}
	}
}
