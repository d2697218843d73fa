//go:build linux && !android

package doctor

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rawshake/rawshake/raw"
)

// machine makes a patient of files.
func machine(contents map[string]string) *patient {
	m := fstest.MapFS{}
	for path, text := range contents {
		m[path] = &fstest.MapFile{Data: []byte(text)}
	}
	return &patient{files: files{m}}
}

// with gives the patient Ethernet interfaces of these kinds and names.
func (p *patient) with(kindsAndNames ...string) *patient {
	for i, word := range kindsAndNames {
		kind, name, _ := strings.Cut(word, " ")
		p.links.all = append(p.links.all, raw.Interface{Index: i + 1, Name: name, Kind: kind, Hardware: kind == ""})
	}
	return p
}

func TestReadConntrack(t *testing.T) {
	const at = "proc/sys/net/netfilter/nf_conntrack_"
	full := machine(map[string]string{at + "count": "250000\n", at + "max": "262144\n"})
	if got, want := full.conntrack(), (conntrackFacts{loaded: true, count: 250000, max: 262144, hosts: true}); got != want {
		t.Errorf("%+v", got)
	}
	full.files.FS.(fstest.MapFS)[at+"max"].Mode = 0o644
	if full.conntrack().hosts {
		t.Error("a limit that can be written is the host's")
	}
	if got := machine(nil).conntrack(); got.loaded {
		t.Errorf("%+v", got)
	}
}

func TestReadBacklog(t *testing.T) {
	p := machine(map[string]string{"proc/net/softnet_stat": "00001000 00000003 00000000 0\n00002000 00000010 00000000 0\nrubbish\n"})
	if got := p.files.softnetDropped(); got != 0x13 {
		t.Errorf("dropped %d", got)
	}
}

// TestReadFullRings: hardware has rings, whatever else counts in the same place.
func TestReadFullRings(t *testing.T) {
	p := machine(map[string]string{"proc/sys/net/core/netdev_max_backlog": "1000\n"}).with(" eth0", " eth1", "gre tunnel0")
	p.links.all[0].Missed, p.links.all[2].Missed = 9, 8
	if f := p.backlog(); len(f.full) != 1 || f.full[0].Name != "eth0" || f.size != 1000 {
		t.Errorf("%+v", f)
	}
}

func TestReadVRF(t *testing.T) {
	p := machine(map[string]string{"proc/sys/net/ipv4/tcp_l3mdev_accept": "1\n"}).with(" eth0", "vrf red", "bridge vrf")
	if got := p.vrf(); !reflect.DeepEqual(got, vrfFacts{devices: []string{"red"}, accept: true}) {
		t.Errorf("%+v", got)
	}
}

// TestReadReversePath: the larger of "all" and the interface's own value counts, and 2 is not strict.
func TestReadReversePath(t *testing.T) {
	const conf = "proc/sys/net/ipv4/conf/"
	for _, test := range []struct {
		all, own string
		strict   bool
	}{{"0", "0", false}, {"1", "0", true}, {"0", "1", true}, {"2", "1", false}, {"1", "2", false}} {
		p := machine(map[string]string{
			conf + "all/rp_filter": test.all, conf + "eth0/rp_filter": test.own, conf + "lo/rp_filter": "1",
		}).with("loopback lo", "veth eth0")
		if got := len(p.reversePath().strict) == 1; got != test.strict {
			t.Errorf("all %s, own %s: strict is %t", test.all, test.own, got)
		}
	}
}

func TestReadContainer(t *testing.T) {
	const plain = "9:name=systemd:/\n0::/\n"
	env := func(pairs map[string]string) func(string) string {
		return func(key string) string { return pairs[key] }
	}
	for _, test := range []struct {
		files map[string]string
		env   map[string]string
		want  string
	}{
		{map[string]string{"proc/1/cgroup": plain}, nil, ""},
		{map[string]string{"proc/1/cgroup": "0::/kubepods.slice/pod1/cri-containerd-2.scope\n"}, nil, "kubernetes"},
		{map[string]string{"proc/1/cgroup": "0::/system.slice/docker-33.scope\n"}, nil, "docker"},
		{map[string]string{"proc/1/cgroup": "0::/machine.slice/libpod-4.scope\n"}, nil, "podman"},
		{map[string]string{"proc/1/cgroup": plain}, map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"},
		{map[string]string{".dockerenv": ""}, nil, "docker"},
		{map[string]string{"run/.containerenv": ""}, nil, "podman"},
	} {
		if got := machine(test.files).files.containerKind(env(test.env)); got != test.want {
			t.Errorf("%v %v: %q, want %q", test.files, test.env, got, test.want)
		}
	}
	for word, want := range map[string]bool{" eth0": true, "veth eth0": false, "bridge docker0": true, "bridge br0": false} {
		if got := machine(nil).with(word).container().hostNetwork; got != want {
			t.Errorf("%s: host network is %t", word, got)
		}
	}
}

func TestReadStatus(t *testing.T) {
	f := machine(map[string]string{"proc/self/status": "Name:\tx\nCapBnd:\t000001ffffffffff\nNoNewPrivs:\t1\nSeccomp:\t2\n"}).files
	if f.status("CapBnd")&netRaw == 0 || f.status("NoNewPrivs") != 1 || f.status("Seccomp") != 2 || f.status("CapEff") != 0 {
		t.Errorf("%x %d %d", f.status("CapBnd"), f.status("NoNewPrivs"), f.status("Seccomp"))
	}
}

func TestReadTranslators(t *testing.T) {
	p := machine(nil).with("dummy kube-ipvs0", " eth0")
	if got := p.translators().devices; !reflect.DeepEqual(got, []string{"kube-ipvs0"}) {
		t.Errorf("%q", got)
	}
}

func TestInterfaceName(t *testing.T) {
	l := machine(nil).with("loopback lo", " eth0").links
	if got := l.byIndex(2).Name + " " + l.byIndex(9).Name; got != "eth0 interface 9" {
		t.Error(got)
	}
}

// TestInterfacesUnknown: what cannot be examined is not called well.
func TestInterfacesUnknown(t *testing.T) {
	p := machine(nil)
	p.links.err = errors.New("no netlink")
	for _, all := range [][]Finding{judgeVRF(p.vrf()), judgeReversePath(p.reversePath()), judgeTranslators(p.translators())} {
		judged{all[0].Check, all, []string{"info: not examined: no netlink | ip link"}}.check(t)
	}
	f := p.container()
	f.kind = "docker"
	if got := judgeContainer(f)[0]; got.Text != "this is a container (docker)" {
		t.Errorf("%+v", got)
	}
}
