// Package rooms holds, in its test, who may import whom; docs/ARCHITECTURE.md draws it.
package rooms
