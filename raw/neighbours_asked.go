//go:build linux && !android

package raw

import (
	"cmp"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// asked holds the neighbours that we asked for ourselves, and the packet
// sockets that ask and hear the answers.
type asked struct {
	arp, nd *os.File
	readers sync.WaitGroup
	news    func() // told when a link address becomes known or changes

	mu       sync.Mutex
	entries  map[neighbourKey]*inquiry
	burst    int             // questions that Inquire may still ask
	began    time.Time       // until askPause after then
	lost     time.Time       // when an answer may have been, for want of room in a socket
	looked   time.Time       // for that
	stations map[station]int // for how many addresses they have answered
	proxies  map[int][6]byte // by interface, of which it is one
}

func newAsked(news func()) *asked {
	return &asked{news: news, entries: map[neighbourKey]*inquiry{}, stations: map[station]int{}, proxies: map[int][6]byte{}}
}

// inquiry is one neighbour that we asked for.
type inquiry struct {
	requests int       // since its last answer
	first    time.Time // request of those
	last     time.Time // request
	answered time.Time
	mac      [6]byte
}

const (
	askEvery    = time.Second            // while there is no answer
	askAgain    = 100 * time.Millisecond // who has answered
	askTimes    = 3
	answerLasts = time.Minute // without a word from the neighbour
	maxInquiry  = 1 << 16

	// Every host on the link hears a question, and all answers come to one
	// socket: Inquire asks at most askBurst times in askPause, 10 000 times a
	// second.
	askBurst = 50
	askPause = 5 * time.Millisecond

	answerBuffer = 1 << 20 // of a socket, in bytes, if net.core.rmem_max lets it
)

func openAsked(news func()) (*asked, error) {
	a := newAsked(news)
	var err error
	if a.arp, err = packetFile(unix.ETH_P_ARP, arpReplies); err != nil {
		return nil, err
	}
	if a.nd, err = packetFile(unix.ETH_P_IPV6, advertisements); err != nil {
		a.arp.Close()
		return nil, err
	}
	a.readers.Go(func() { a.listen(a.arp, parseARP) })
	a.readers.Go(func() { a.listen(a.nd, parseAdvertisement) })
	return a, nil
}

// packetFile opens a packet socket on all interfaces. It is in Go's poller:
// what the filter lets through is rare.
func packetFile(proto uint16, filter []bpf.RawInstruction) (*os.File, error) {
	fd, err := openSocket(unix.AF_PACKET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return nil, err
	}
	if err = cmp.Or(attachFilter(fd, filter), setInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, answerBuffer, "SO_RCVBUF")); err == nil {
		err = named("bind", unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(proto)}))
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	return os.NewFile(uintptr(fd), "packet socket"), nil
}

// lookup judges an inquiry by its age.
func (a *asked) lookup(key neighbourKey, now time.Time) (NeighbourState, [6]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.entries[key]
	switch {
	case q == nil:
		return Unknown, [6]byte{}
	case q.failed(now):
		return Failed, [6]byte{}
	case now.Sub(q.answered) < answerLasts:
		return Reachable, q.mac
	case now.Sub(q.last) < askEvery:
		return Incomplete, [6]byte{}
	}
	return Unknown, [6]byte{}
}

// failed reports whether the neighbour did not answer three times in a row.
func (q *inquiry) failed(now time.Time) bool {
	since := now.Sub(q.last)
	return since < answerLasts && (q.requests > askTimes || q.requests == askTimes && since >= askEvery)
}

// died reports whether a neighbour has failed that had answered before: it
// is not one that never does, and that somebody has told the kernel of.
func (a *asked) died(key neighbourKey, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.entries[key]
	return q != nil && !q.answered.IsZero() && q.failed(now)
}

// heardAt returns when a neighbour gave its last answer.
func (a *asked) heardAt(key neighbourKey) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	if q := a.entries[key]; q != nil {
		return q.answered
	}
	return time.Time{}
}

// due notes a request and reports whether it is time for it. One that was
// given up for long begins anew.
func (a *asked) due(key neighbourKey, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if q := a.entries[key]; q != nil {
		if since := now.Sub(q.last); q.requests == 0 && since < askAgain || q.requests > 0 && since < askEvery {
			return false
		}
	}
	a.note(key, now)
	return true
}

// note notes a request, and returns how many there are now without an answer.
func (a *asked) note(key neighbourKey, now time.Time) int {
	q := a.entries[key]
	switch {
	case q == nil:
		q = &inquiry{}
		a.forget(now)
		a.entries[key] = q
	case now.Sub(q.last) >= answerLasts:
		q.requests = 0
	}
	if q.requests == 0 {
		q.first = now
	}
	q.requests++
	q.last = now
	return q.requests
}

// unasked takes a request back that could not be sent: nobody owes an answer
// to it.
func (a *asked) unasked(key neighbourKey) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if q := a.entries[key]; q != nil && q.requests > 0 {
		q.requests--
	}
}

// forget makes room when it must: what is neither fresh nor under way goes,
// and if that is too little, whatever comes first. It always frees an eighth,
// so that the next ones find room without a search.
func (a *asked) forget(now time.Time) {
	if len(a.entries) < maxInquiry {
		return
	}
	for key, q := range a.entries {
		if now.Sub(q.last) >= 2*askEvery && now.Sub(q.answered) >= answerLasts {
			delete(a.entries, key)
		}
	}
	for key := range a.entries {
		if len(a.entries) <= maxInquiry*7/8 {
			break
		}
		delete(a.entries, key)
	}
}

// heard takes an answer, or any later word, from a neighbour that we asked.
func (a *asked) heard(key neighbourKey, mac [6]byte, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if q := a.entries[key]; q != nil {
		if q.mac != mac || now.Sub(q.answered) >= answerLasts {
			defer a.news()
		}
		if q.answered.IsZero() {
			a.answers(station{key.ifindex, mac})
		}
		q.requests, q.answered, q.mac = 0, now, mac
	}
}

// send puts the question on the link, to one link address or, if that is zero,
// to all that might be the neighbour's.
func (a *asked) send(key neighbourKey, from speaker, to [6]byte) error {
	file, all, packet := a.arp, broadcast, arpRequest(from, key.addr)
	if key.addr.Is6() {
		file, all, packet = a.nd, solicitedMAC(key.addr), solicitation(from, key.addr)
	}
	if to == [6]byte{} {
		to = all
	}
	address := unix.SockaddrLinklayer{Ifindex: key.ifindex, Halen: 6, Protocol: networkOrder(unix.ETH_P_ARP)}
	if key.addr.Is6() {
		address.Protocol = networkOrder(unix.ETH_P_IPV6)
	}
	copy(address.Addr[:], to[:])
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	refusal := conn.Control(func(fd uintptr) { err = unix.Sendto(int(fd), packet, unix.MSG_DONTWAIT, &address) })
	if err == nil {
		err = refusal
	}
	return named("ask for "+key.addr.String(), err)
}

// listen reads until the socket is closed.
func (a *asked) listen(file *os.File, parse func([]byte) (answer neighbour, ok bool)) {
	conn, err := file.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, 256)
	for {
		var n int
		var from unix.Sockaddr
		var failure error
		closed := conn.Read(func(fd uintptr) bool {
			n, from, failure = unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT)
			return failure != unix.EAGAIN
		})
		if closed != nil {
			return
		}
		link, ok := from.(*unix.SockaddrLinklayer)
		if failure != nil || !ok || link.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		if e, ok := parse(buf[:n]); ok {
			a.heard(neighbourKey{link.Ifindex, e.addr}, e.mac, time.Now())
		}
	}
}

func (a *asked) close() {
	a.arp.Close()
	a.nd.Close()
	a.readers.Wait()
}
