//go:build linux && !android

package doctor

import (
	"reflect"
	"testing"
	"testing/fstest"
)

// machine makes a patient of files.
func machine(contents map[string]string) *patient {
	m := fstest.MapFS{}
	for path, text := range contents {
		m[path] = &fstest.MapFile{Data: []byte(text)}
	}
	return &patient{files: files{m}}
}

func TestReadConntrack(t *testing.T) {
	const at = "proc/sys/net/netfilter/nf_conntrack_"
	full := machine(map[string]string{at + "count": "250000\n", at + "max": "262144\n"})
	if got, want := full.conntrack(), (conntrackFacts{true, 250000, 262144}); got != want {
		t.Errorf("%+v", got)
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

func TestReadVRF(t *testing.T) {
	p := machine(map[string]string{
		"sys/class/net/eth0/uevent": "INTERFACE=eth0\nIFINDEX=2\n", "sys/class/net/red/uevent": "DEVTYPE=vrf\nINTERFACE=red\n",
		"proc/sys/net/ipv4/tcp_l3mdev_accept": "1\n",
	})
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
			"sys/class/net/eth0/uevent": "", "sys/class/net/lo/uevent": "",
		})
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
	for name, want := range map[string]bool{
		"sys/class/net/eth0/device/vendor": true, "sys/class/net/eth0/uevent": false, "sys/class/net/docker0/uevent": true,
	} {
		if got := machine(map[string]string{name: ""}).files.hostNetwork(); got != want {
			t.Errorf("%s: host network is %t", name, got)
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
	p := machine(map[string]string{"sys/class/net/kube-ipvs0/uevent": "", "sys/class/net/eth0/uevent": ""})
	if got := p.translators().devices; !reflect.DeepEqual(got, []string{"kube-ipvs0"}) {
		t.Errorf("%q", got)
	}
}

func TestInterfaceName(t *testing.T) {
	f := machine(map[string]string{"sys/class/net/eth0/ifindex": "2\n", "sys/class/net/lo/ifindex": "1\n"}).files
	if got := f.interfaceName(2) + " " + f.interfaceName(9); got != "eth0 interface 9" {
		t.Error(got)
	}
}
