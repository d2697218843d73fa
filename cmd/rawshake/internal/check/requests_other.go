//go:build !unix

package check

import "os"

// figuresRequests yields nothing: there are no signals for it.
func figuresRequests() (requests <-chan os.Signal, forget func()) {
	return nil, func() {}
}
