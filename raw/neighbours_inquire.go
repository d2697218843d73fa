//go:build linux && !android

package raw

import (
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Inquire is Lookup for who sends whole frames to neighbours, one by one, and
// asks for what is not known: call it again and again until it says
// Reachable or Failed. r is the route to addr, whose source address and MAC it
// asks with. asked says that a question left by this call.
//
// Of the kernel's table it takes what was put there by somebody, and asks for
// all else: what the kernel has once learned it confirms when it sends there
// itself, and frames go past it. Such an entry may be of a host that is gone,
// or that has another MAC now.
//
// Who did not answer three questions, a second apart, is Failed, and with
// each further call after believe since the last question is asked again: for
// a second, that is Incomplete. At most 10 000 questions leave in a second;
// those that must wait for that are Unknown.
func (n *Neighbours) Inquire(r Route, addr netip.Addr, believe time.Duration) (state NeighbourState, mac [6]byte, asked bool, err error) {
	key := neighbourKey{r.Interface, addr.Unmap().WithZone("")}
	if mac, ok := n.told(key); ok {
		return Reachable, mac, false, nil
	}
	own, err := n.asker()
	if err != nil {
		return Unknown, mac, false, err
	}
	state, mac, asked = own.inquire(key, time.Now(), believe)
	if !asked {
		return state, mac, false, nil
	}
	if err = own.send(key, speaker{r.SourceMAC, r.Source}, mac); err != nil {
		own.unasked(key)
	}
	return state, [6]byte{}, err == nil, err
}

// Silent reports whether a neighbour has not answered Inquire, which then says
// Failed. The kernel's word does not count: it keeps for long that one has not
// answered.
func (n *Neighbours) Silent(ifindex int, addr netip.Addr) bool {
	key := neighbourKey{ifindex, addr.Unmap().WithZone("")}
	if _, ok := n.told(key); ok {
		return false
	}
	_, _, own := n.known(key)
	return own != nil && own.silent(key, time.Now())
}

func (a *asked) silent(key neighbourKey, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.entries[key]
	return q != nil && q.failed(now) && !a.missed(q, now)
}

// inquire judges an inquiry, and says whether it is time for a question, which
// it notes; mac is whom to ask then.
func (a *asked) inquire(key neighbourKey, now time.Time, believe time.Duration) (state NeighbourState, mac [6]byte, ask bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.entries[key]
	if q != nil {
		switch since := now.Sub(q.last); {
		case q.requests < askTimes && now.Sub(q.answered) < answerLasts:
			return Reachable, q.mac, false
		case q.requests >= askTimes && since >= askEvery && since < believe && !a.missed(q, now):
			return Failed, mac, false
		case q.requests > 0 && since < askEvery:
			return Incomplete, mac, false
		}
	}
	if !a.spare(now) {
		return Unknown, mac, false
	}
	return Incomplete, a.whom(key, a.note(key, now)), true
}

// spare reports whether one more question may leave now.
func (a *asked) spare(now time.Time) bool {
	if now.Sub(a.began) >= askPause {
		a.began, a.burst = now, askBurst
	}
	a.burst--
	return a.burst >= 0
}

// missed reports whether an answer to an inquiry may have been lost for want
// of room in our socket. Then it begins anew: that is no sign of death.
func (a *asked) missed(q *inquiry, now time.Time) bool {
	if now.Sub(a.looked) >= askPause {
		a.looked = now
		if dropped(a.arp)+dropped(a.nd) > 0 {
			a.lost = now
		}
	}
	if a.lost.Before(q.first) {
		return false
	}
	q.requests = 0
	return true
}

// dropped returns how many packets a packet socket has dropped since it was
// last asked.
func dropped(file *os.File) (n uint32) {
	conn, err := file.SyscallConn()
	if err != nil {
		return 0
	}
	conn.Control(func(fd uintptr) {
		if s, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			n = s.Drops
		}
	})
	return n
}
