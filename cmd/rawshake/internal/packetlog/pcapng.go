package packetlog

import (
	"encoding/binary"
	"io"
	"runtime"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// pcapng writes IP packets to a pcapng file of link type LINKTYPE_RAW (101): no link header, the first byte tells the family.
type pcapng struct{ w *pcapgo.NgWriter }

func newPcapng(w io.Writer) (*pcapng, error) {
	device := pcapgo.NgInterface{
		Name:                "rawshake",
		Comment:             "IP packets that rawshake sent and received, without their link headers",
		LinkType:            layers.LinkTypeRaw,
		OS:                  runtime.GOOS,
		TimestampResolution: 9,
	}
	options := pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{
		Hardware: runtime.GOARCH, OS: runtime.GOOS, Application: "rawshake",
	}}
	ng, err := pcapgo.NewNgWriterInterface(w, device, options)
	if err != nil {
		return nil, err
	}
	return &pcapng{ng}, ng.Flush()
}

// goOnPcapng writes no head: what follows belongs to the section and the interface that the file has. At another interface of this link
// type libpcap reads no further: "an interface has a type 101 different from the type of the first interface" (sf-pcapng.c).
func goOnPcapng(w io.Writer) (*pcapng, error) {
	head := &afterHead{io.Discard}
	p, err := newPcapng(head)
	head.Writer = w
	return p, err
}

// afterHead is where a writer of pcapng writes to; it is another once the head is written.
type afterHead struct{ io.Writer }

func (p *pcapng) write(at time.Time, data []byte) error {
	return p.w.WritePacket(gopacket.CaptureInfo{
		Timestamp:     at,
		CaptureLength: len(data),
		Length:        max(len(data), lengthOnWire(data)),
	}, data)
}

func (p *pcapng) flush() error { return p.w.Flush() }

// lengthOnWire is what the IP header says: of a long ICMP error we receive only the beginning.
func lengthOnWire(data []byte) int {
	switch {
	case len(data) >= 20 && data[0]>>4 == 4:
		return int(binary.BigEndian.Uint16(data[2:]))
	case len(data) >= 40 && data[0]>>4 == 6:
		return 40 + int(binary.BigEndian.Uint16(data[4:]))
	}
	return len(data)
}
