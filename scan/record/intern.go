package record

// Interner returns the same string for the same bytes, without an allocation once it has seen them: TCP options of a
// million answers are a handful of texts. Its zero value is ready. It is not safe for concurrent use.
type Interner struct {
	known map[string]string
}

// maxInterned bounds the memory against a peer that makes up a new text for each answer.
const maxInterned = 1 << 12

// String returns b as a string. It keeps nothing of b.
func (i *Interner) String(b []byte) string {
	if s, ok := i.known[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(i.known) < maxInterned {
		if i.known == nil {
			i.known = make(map[string]string)
		}
		i.known[s] = s
	}
	return s
}
