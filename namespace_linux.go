package rawshake

import "os"

// namespace names the network namespace of the calling thread: sockets belong to the one they were opened in.
func namespace() string {
	name, _ := os.Readlink("/proc/thread-self/ns/net")
	return name
}
