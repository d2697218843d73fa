//go:build !unix

package rawshake

// descriptorLimit is the size of the range of source ports that Windows uses: there is no limit of descriptors.
func descriptorLimit() int { return 16384 }
