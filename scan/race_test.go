//go:build linux && !android && race

package scan

const race = true
