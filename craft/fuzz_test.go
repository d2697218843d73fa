package craft

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// FuzzDecode: whatever the bytes, Decode does not panic and writes nothing; what it accepts, gopacket reads alike;
// what it refuses leaves the reply as it was; and verifying can only refuse more, for a wrong checksum.
func FuzzDecode(f *testing.F) {
	for _, g := range goldens {
		f.Add(unhex(f, g.name))
	}
	f.Fuzz(func(t *testing.T, pkt []byte) {
		before := append([]byte(nil), pkt...)
		var r, verified Reply
		err := Decode(pkt, false, &r)
		verifiedErr := Decode(pkt, true, &verified)
		if Describe(pkt) == "" {
			t.Error("no description")
		}
		if !bytes.Equal(pkt, before) {
			t.Error("the packet was changed")
		}
		if err == nil {
			checkAgainstGopacket(t, pkt, &r)
			checkVerified(t, pkt, &r, &verified, verifiedErr)
			return
		}
		if !reflect.DeepEqual(r, Reply{}) || !reflect.DeepEqual(verified, Reply{}) {
			t.Errorf("refused with %v, but the reply is %+v", err, r)
		}
		if verifiedErr != err && verifiedErr != ErrChecksum {
			t.Errorf("refused with %v, and with %v when verified", err, verifiedErr)
		}
	})
}

// checkVerified holds the outcome of a verification against gopacket's checksums.
func checkVerified(t *testing.T, pkt []byte, r, verified *Reply, err error) {
	t.Helper()
	want := error(nil)
	if !soundByGopacket(t, pkt) {
		want = ErrChecksum
	}
	if err != want {
		t.Errorf("packet % x\nverified: %v, by gopacket's checksums %v", pkt, err, want)
	}
	if err == nil && !reflect.DeepEqual(r, verified) {
		t.Errorf("verified %+v, not verified %+v", verified, r)
	}
}

// soundByGopacket computes the checksums of an accepted packet anew, where its payload is whole.
func soundByGopacket(t *testing.T, pkt []byte) bool {
	t.Helper()
	header, length := 40, announced(pkt)
	whole := length <= len(pkt)
	var network gopacket.NetworkLayer = &layers.IPv6{SrcIP: pkt[8:24], DstIP: pkt[24:40]}
	if pkt[0]>>4 == 4 {
		header = int(pkt[0]&15) * 4
		if plainSum(pkt[:header]) != 0xffff {
			return false
		}
		whole = whole && pkt[6]&0x20 == 0
		network = &layers.IPv4{SrcIP: pkt[12:16], DstIP: pkt[16:20]}
	}
	if !whole {
		return true
	}
	payload := append([]byte(nil), pkt[header:length]...)
	if pkt[0]>>4 == 4 && pkt[9] == 1 {
		return plainSum(payload) == 0xffff
	}
	return pseudoSoundByGopacket(t, network, payload, pkt[0]>>4 == 6 && pkt[6] == 58)
}

// pseudoSoundByGopacket uses that the checksum over a sound segment, its checksum included, is 0.
func pseudoSoundByGopacket(t *testing.T, network gopacket.NetworkLayer, payload []byte, icmp bool) bool {
	t.Helper()
	if icmp {
		return icmp6SoundByGopacket(t, network, payload)
	}
	tcp := &layers.TCP{BaseLayer: layers.BaseLayer{Contents: payload}}
	must(t, tcp.SetNetworkLayerForChecksum(network))
	sum, err := tcp.ComputeChecksum()
	must(t, err)
	return sum == 0
}

// icmp6SoundByGopacket has gopacket serialize the message anew and compares the checksums; gopacket never sends the
// one that stands for the same sum as 0.
func icmp6SoundByGopacket(t *testing.T, network gopacket.NetworkLayer, payload []byte) bool {
	t.Helper()
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(payload[0], payload[1])}
	must(t, icmp.SetNetworkLayerForChecksum(network))
	b := gopacket.NewSerializeBuffer()
	must(t, gopacket.SerializeLayers(b, gopacket.SerializeOptions{ComputeChecksums: true}, icmp, gopacket.Payload(payload[4:])))
	got, want := b.Bytes()[2:4], payload[2:4]
	return bytes.Equal(got, want) || bytes.Equal(got, []byte{0, 0}) && bytes.Equal(want, []byte{0xff, 0xff})
}

// FuzzOptions: any bytes are read without a panic, as gopacket reads them, up to the first malformed option.
func FuzzOptions(f *testing.F) {
	for _, raw := range wantOptions {
		f.Add([]byte(raw))
	}
	f.Add([]byte{2, 0, 0, 0})
	f.Add([]byte{1, 2, 9, 9})
	f.Add([]byte{253, 4, 1, 2, 3})
	f.Fuzz(func(t *testing.T, raw []byte) {
		ParseOptions(raw)
		FormatOptions(raw)
		raw = raw[:min(len(raw), 40)/4*4] // what a TCP header can hold
		header := append(make([]byte, 20), raw...)
		header[12] = byte(len(header)/4) << 4
		var tcp layers.TCP
		err := tcp.DecodeFromBytes(header, gopacket.NilDecodeFeedback)
		if err != nil { // the last option is the malformed one
			tcp.Options = tcp.Options[:len(tcp.Options)-1]
		}
		checkOptions(t, raw, tcp.Options)
		if malformed := bytes.HasSuffix(AppendOptions(nil, raw), []byte("malformed")); malformed != (err != nil) {
			t.Errorf("options % x: malformed %v, gopacket says %v", raw, malformed, err)
		}
	})
}

func checkOptions(t *testing.T, raw []byte, want []layers.TCPOption) {
	t.Helper()
	n := 0
	for kind, data := range OptionKinds(raw) {
		if n == len(want) {
			t.Fatalf("options % x: more than the %d of gopacket", raw, n)
		}
		if kind != uint8(want[n].OptionType) || !bytes.Equal(data, want[n].OptionData) {
			t.Errorf("options % x: number %d is %d % x, gopacket %v", raw, n, kind, data, want[n])
		}
		n++
	}
	if n != len(want) {
		t.Errorf("options % x: %d of the %d of gopacket", raw, n, len(want))
	}
}
