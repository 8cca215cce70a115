package doctor

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/cove-k8s/cove/pkg/engine"
	"github.com/cove-k8s/cove/pkg/fault"
)

// fakeEngine answers what the checks ask.
type fakeEngine struct {
	engine.Engine
	info     engine.Info
	infoErr  error
	networks []engine.Network
	images   []string
	nodes    []engine.Node
}

func (e fakeEngine) Nodes(context.Context, engine.Selector) ([]engine.Node, error) {
	return e.nodes, nil
}

func (e fakeEngine) Info(context.Context) (engine.Info, error) { return e.info, e.infoErr }

func (e fakeEngine) Networks(context.Context, engine.Selector) ([]engine.Network, error) {
	return e.networks, nil
}

func (e fakeEngine) Image(_ context.Context, ref string) (engine.Image, error) {
	if slices.Contains(e.images, ref) {
		return engine.Image{ID: "sha256:1", Names: []string{ref}}, nil
	}
	return engine.Image{}, fault.New(fault.ImageNotFound, "no image %s", ref)
}

const limits = `Limit                     Soft Limit           Hard Limit           Units
Max processes             95978                95978                processes
Max open files            1024                 1048576              files
`

// goodHost is a machine without a fault.
func goodHost(t *testing.T) (Env, fstest.MapFS) {
	t.Helper()
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	root := fstest.MapFS{
		"proc/sys/kernel/osrelease":                   file("6.1.0-cove\n"),
		"proc/sys/kernel/pid_max":                     file("4194304\n"),
		"proc/sys/fs/inotify/max_user_instances":      file("512\n"),
		"proc/sys/fs/inotify/max_user_watches":        file("524288\n"),
		"proc/sys/fs/file-max":                        file("9223372036854775807\n"),
		"proc/sys/fs/file-nr":                         file("2048\t0\t9223372036854775807\n"),
		"proc/sys/net/bridge/bridge-nf-call-iptables": file("1\n"),
		"proc/meminfo":                                file("MemTotal:       16384000 kB\nMemFree:         1000 kB\nMemAvailable:   8192000 kB\n"),
		"proc/swaps":                                  file("Filename\tType\tSize\tUsed\tPriority\n/swapfile file 2097152 0 -2\n"),
		"proc/filesystems":                            file("nodev\tsysfs\nnodev\toverlay\n\text4\n"),
		"proc/net/route":                              file("Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\neth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\neth0\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"),
		"proc/700/comm":                               file("containerd\n"),
		"proc/700/limits":                             file(limits),
		"sys/fs/cgroup/cgroup.controllers":            file("cpuset cpu io memory hugetlb pids rdma\n"),
		"etc/resolv.conf":                             file("nameserver 127.0.0.53\noptions edns0\n"),
		"run/systemd/resolve/resolv.conf":             file("nameserver 192.168.2.1\n"),
		"lib/modules/6.1.0-cove/modules.builtin":      file("kernel/net/netfilter/nf_tables.ko\nkernel/net/netfilter/nft_ct.ko\n"),
		"lib/modules/6.1.0-cove/modules.dep": file("kernel/net/netfilter/nft_nat.ko.xz: kernel/x.ko\nkernel/net/netfilter/nft_masq.ko:\n" +
			"kernel/net/netfilter/nft_numgen.ko:\nkernel/net/netfilter/nft_fib_inet.ko:\nkernel/net/netfilter/nft_reject_inet.ko:\n"),
	}
	e := fakeEngine{info: goodInfo(), images: []string{"cove-node:v1.36.3"}}
	return Env{
		Engine: e, Nodes: 3, FS: root, KubernetesVersion: "v1.36.3", Kubeconfig: filepath.Join(t.TempDir(), "sub", "config"),
		DiskFree:   func(string) (uint64, uint64, error) { return 50 * gib, 100 * gib, nil },
		LookPath:   func(string) (string, error) { return "/usr/bin/kubectl", nil },
		Incomplete: func(context.Context) ([]string, error) { return nil, nil },
	}, root
}

func goodInfo() engine.Info {
	return engine.Info{
		Name: "docker", Version: "28.5.2", Endpoint: "unix:///var/run/docker.sock", OS: "linux", Architecture: "amd64",
		Kernel: "6.1.0-cove", StorageDriver: "overlay2", CgroupVersion: 2, CgroupDriver: "systemd", CPUs: 8,
		MemoryBytes: 16 * gib, RootDir: "/var/lib/docker", SecurityOptions: []string{"name=apparmor", "name=seccomp,profile=builtin"},
	}
}

func TestGoodHost(t *testing.T) {
	env, _ := goodHost(t)
	checks := Run(t.Context(), env)
	if len(checks) != len(probes())+1 {
		t.Fatalf("%d checks for %d probes", len(checks), len(probes()))
	}
	seen := map[string]bool{}
	for _, c := range checks {
		if c.Status != OK {
			t.Errorf("%s is %s: %s", c.ID, c.Status, c.Value)
		}
		if c.Value == "" || c.Need == "" || c.Title == "" {
			t.Errorf("%s does not say all: %+v", c.ID, c)
		}
		if c.Cure != "" || c.Code != "" {
			t.Errorf("%s has a cure or a code without a fault: %+v", c.ID, c)
		}
		if seen[c.ID] {
			t.Errorf("%s is there twice", c.ID)
		}
		seen[c.ID] = true
	}
	if Failed(checks) != nil {
		t.Error("a good host failed")
	}
	if _, err := os.Stat(filepath.Dir(env.Kubeconfig)); err == nil {
		t.Error("a check made a directory")
	}
}

// Every fault shows in its own check, and in no other.
func TestFaults(t *testing.T) {
	gz := func(s string) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write([]byte(s))
		_ = w.Close()
		return b.Bytes()
	}
	type change func(env *Env, info *engine.Info, root fstest.MapFS)
	set := func(name, value string) change {
		return func(_ *Env, _ *engine.Info, root fstest.MapFS) { root[name] = &fstest.MapFile{Data: []byte(value)} }
	}
	drop := func(names ...string) change {
		return func(_ *Env, _ *engine.Info, root fstest.MapFS) {
			for _, n := range names {
				delete(root, n)
			}
		}
	}
	info := func(f func(*engine.Info)) change {
		return func(_ *Env, i *engine.Info, _ fstest.MapFS) { f(i) }
	}
	disk := func(free uint64, err error) change {
		return func(e *Env, _ *engine.Info, _ fstest.MapFS) {
			e.DiskFree = func(string) (uint64, uint64, error) { return free, 100 * gib, err }
		}
	}
	const modules = "lib/modules/6.1.0-cove/modules."
	for _, tt := range []struct {
		name   string
		change change
		id     string
		status Status
		code   fault.Code
		value  string // a part of it
		cure   string // a part of it
	}{
		{"old engine", info(func(i *engine.Info) { i.Version = "19.03.15" }), "engine-version", Fail, fault.EngineUnsupported, "19.03.15", "update"},
		{"engine just old enough", info(func(i *engine.Info) { i.Version = "20.9.1" }), "engine-version", Fail, fault.EngineUnsupported, "20.9.1", "update"},
		{"odd version", info(func(i *engine.Info) { i.Version = "master-dirty" }), "engine-version", Warn, "", "cannot be read", "update"},
		{"windows", info(func(i *engine.Info) { i.OS = "windows" }), "platform", Fail, fault.EngineUnsupported, "windows/amd64", "Linux"},
		{"risc", info(func(i *engine.Info) { i.Architecture = "riscv64" }), "platform", Warn, "", "riscv64", ""},
		{"rootless on v1", func(e *Env, i *engine.Info, root fstest.MapFS) {
			i.Rootless, i.CgroupVersion = true, 1
			set("proc/cgroups", "cpu 1 1 1\ncpuset 1 1 1\nmemory 1 1 1\npids 1 1 1\n")(e, i, root)
		}, "cgroup-version", Fail, fault.CgroupUnsupported, "rootless", "unified"},
		{"no delegation", info(func(i *engine.Info) { i.CgroupDriver = "none" }), "cgroup-driver", Fail, fault.CgroupUnsupported, "none", "Delegate"},
		{"no memory controller", set("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n"), "cgroup-controllers", Fail, fault.CgroupUnsupported, "without memory", "cgroup_enable"},
		{"disabled on v1", func(e *Env, i *engine.Info, root fstest.MapFS) {
			i.CgroupVersion = 1
			set("proc/cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu 1 1 1\ncpuset 1 1 1\nmemory 0 1 0\npids 1 1 1\n")(e, i, root)
		}, "cgroup-controllers", Fail, fault.CgroupUnsupported, "without memory", ""},
		{"vfs", info(func(i *engine.Info) { i.StorageDriver = "vfs" }), "storage-driver", Warn, "", "vfs", "overlay2"},
		{"no disk", disk(500*mib, nil), "disk", Fail, fault.DiskFull, "500 MiB of 100.0 GiB", "prune"},
		{"little disk", disk(2*gib, nil), "disk", Warn, "", "2.0 GiB", "prune"},
		{"disk out of sight", disk(0, fs.ErrNotExist), "disk", Skipped, "", "not to be seen", ""},
		{"no memory", info(func(i *engine.Info) { i.MemoryBytes = 1000 * mib }), "memory", Fail, fault.HostLimit, "1000 MiB", "fewer nodes"},
		{"memory in use", set("proc/meminfo", "MemAvailable:   1048576 kB\n"), "memory", Warn, "", "1.0 GiB free of 16.0 GiB", "end what uses"},
		{"one processor", info(func(i *engine.Info) { i.CPUs = 1 }), "cpus", Warn, "", "1", "second"},
		{"no instances", set("proc/sys/fs/inotify/max_user_instances", "42"), "inotify-instances", Fail, fault.HostLimit, "42", "sudo sysctl fs.inotify.max_user_instances=512"},
		{"few instances", set("proc/sys/fs/inotify/max_user_instances", "80"), "inotify-instances", Warn, "", "80", "sudo sysctl"},
		{"no watches", set("proc/sys/fs/inotify/max_user_watches", "100"), "inotify-watches", Fail, fault.HostLimit, "100", "max_user_watches=524288"},
		{"unreadable limit", drop("proc/sys/fs/inotify/max_user_watches"), "inotify-watches", Skipped, "", "cannot be read", ""},
		{"no file handles", set("proc/sys/fs/file-max", "4000"), "file-handles", Fail, fault.HostLimit, "1952 free of 4000", "fs.file-max="},
		{"few open files", set("proc/700/limits", strings.ReplaceAll(limits, "1048576", "4096")), "open-files", Warn, "", "4096", "LimitNOFILE"},
		{"no open files", set("proc/700/limits", strings.ReplaceAll(limits, "1048576", "512")), "open-files", Fail, fault.HostLimit, "512", "LimitNOFILE"},
		{"engine out of sight", drop("proc/700/comm"), "open-files", Skipped, "", "not to be seen", ""},
		{"few pids", set("proc/sys/kernel/pid_max", "700"), "pids", Fail, fault.HostLimit, "700", "kernel.pid_max=4194304"},
		{"no overlay", func(e *Env, i *engine.Info, root fstest.MapFS) {
			set("proc/filesystems", "nodev\tsysfs\n")(e, i, root)
		}, "kernel-overlay", Warn, "", "without overlay", "modprobe"},
		{"no masquerading", set(modules+"dep", "kernel/nft_nat.ko.xz:\nkernel/nft_numgen.ko:\nkernel/nft_fib_inet.ko:\nkernel/nft_reject_inet.ko:\n"), "kernel-nftables", Warn, "", "without nft_masq", "modprobe"},
		{"unknown kernel", drop(modules+"dep", modules+"builtin"), "kernel-nftables", Skipped, "", "nothing here tells", ""},
		{"kernel by its configuration", func(e *Env, i *engine.Info, root fstest.MapFS) {
			drop(modules+"dep", modules+"builtin")(e, i, root)
			root["proc/config.gz"] = &fstest.MapFile{Data: gz("CONFIG_NF_TABLES=y\nCONFIG_NFT_CT=m\nCONFIG_NFT_NAT=y\n# CONFIG_NFT_MASQ is not set\n")}
		}, "kernel-nftables", Warn, "", "without nft_masq, nft_numgen, nft_fib_inet, nft_reject_inet", ""},
		{"no bridge netfilter", drop("proc/sys/net/bridge/bridge-nf-call-iptables"), "kernel-bridge", Warn, "", "br_netfilter", "modprobe br_netfilter"},
		{"loopback DNS only", drop("run/systemd/resolve/resolv.conf"), "dns", Warn, "", "only 127.0.0.53", "daemon.json"},
		{"no DNS", drop("run/systemd/resolve/resolv.conf", "etc/resolv.conf"), "dns", Warn, "", "no server", ""},
		{"VPN takes all", set("proc/net/route", "tun0\t00000080\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\ntun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n"), "subnets", Fail, fault.NetworkExhausted, "none", "VPN"},
		{"no image", func(e *Env, _ *engine.Info, _ fstest.MapFS) { e.KubernetesVersion = "v1.35.4" }, "image", Warn, "", "cove-node:v1.35.4, kindest/node:v1.35.4", "build node-image"},
		{"leftovers", func(e *Env, _ *engine.Info, _ fstest.MapFS) {
			e.Incomplete = func(context.Context) ([]string, error) { return []string{"a", "b"}, nil }
		}, "leftovers", Warn, "", "a, b", "cove delete a b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env, root := goodHost(t)
			i := goodInfo()
			tt.change(&env, &i, root)
			env.Engine = fakeEngine{info: i, images: []string{"cove-node:v1.36.3"}}
			for _, c := range Run(t.Context(), env) {
				if c.ID != tt.id {
					if c.Status != OK {
						t.Errorf("%s is %s, too: %s", c.ID, c.Status, c.Value)
					}
					continue
				}
				if c.Status != tt.status || c.Code != tt.code || !strings.Contains(c.Value, tt.value) || !strings.Contains(c.Cure, tt.cure) {
					t.Errorf("got %+v", c)
				}
				if c.Status == Fail && !c.Fatal {
					t.Errorf("%s failed, and is not fatal", c.ID)
				}
			}
		})
	}
}

func TestEngineGone(t *testing.T) {
	env, _ := goodHost(t)
	env.Engine = fakeEngine{infoErr: fault.New(fault.EngineUnreachable, "cannot reach the engine")}
	checks := Run(t.Context(), env)
	if c := checks[0]; c.ID != "engine" || c.Status != Fail || c.Code != fault.EngineUnreachable || c.Cure == "" {
		t.Errorf("got %+v", c)
	}
	for _, c := range checks[1:] {
		want := Skipped
		if c.ID == "kubeconfig" || c.ID == "kubectl" {
			want = OK
		}
		if c.Status != want {
			t.Errorf("%s is %s", c.ID, c.Status)
		}
	}
}

// Where the engine runs elsewhere, this machine's /proc says nothing of it.
func TestRemoteEngine(t *testing.T) {
	for name, change := range map[string]func(*engine.Info){
		"host":            func(i *engine.Info) { i.Host = "10.1.1.1" },
		"virtual machine": func(i *engine.Info) { i.Kernel = "6.6.0-linuxkit" },
	} {
		t.Run(name, func(t *testing.T) {
			env, root := goodHost(t)
			root["proc/sys/fs/inotify/max_user_instances"] = &fstest.MapFile{Data: []byte("1")}
			root["proc/meminfo"] = &fstest.MapFile{Data: []byte("MemAvailable: 1 kB")}
			root["sys/fs/cgroup/cgroup.controllers"] = &fstest.MapFile{Data: []byte("cpu")}
			root["proc/net/route"] = &fstest.MapFile{Data: []byte("tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n")}
			i := goodInfo()
			change(&i)
			env.Engine = fakeEngine{info: i, images: []string{"cove-node:v1.36.3"}}
			for _, c := range Run(t.Context(), env) {
				want := OK
				for _, p := range probes() {
					if p.id == c.ID && p.local {
						want = Skipped
					}
				}
				if c.Status != want {
					t.Errorf("%s is %s: %s", c.ID, c.Status, c.Value)
				}
			}
			// What the engine says of itself counts all the same.
			i.Warnings = []string{"WARNING: No memory limit support"}
			env.Engine = fakeEngine{info: i}
			if c := Failed(Run(t.Context(), env)); c == nil || c.ID != "cgroup-controllers" {
				t.Errorf("got %+v", c)
			}
		})
	}
}

func TestSubnetsOfClustersCount(t *testing.T) {
	env, _ := goodHost(t)
	free := func() string {
		for _, c := range Run(t.Context(), env) {
			if c.ID == "subnets" {
				return c.Value
			}
		}
		return ""
	}
	if got := free(); got != "172.18.0.0/24 and more" {
		t.Errorf("got %s", got)
	}
	env.Engine = fakeEngine{info: goodInfo(), networks: []engine.Network{
		{Name: "cove-a", Subnet: netip.MustParsePrefix("172.16.0.0/12")}, {Name: "cove-b", Subnet: netip.MustParsePrefix("10.200.0.0/24")},
	}}
	if got := free(); got != "10.200.1.0/24 and more" {
		t.Errorf("got %s", got)
	}
	env.Engine = fakeEngine{info: goodInfo(), networks: []engine.Network{
		{Subnet: netip.MustParsePrefix("172.16.0.0/12")}, {Subnet: netip.MustParsePrefix("10.0.0.0/8")},
		{Subnet: netip.MustParsePrefix("192.168.0.0/17")}, {Subnet: netip.MustParsePrefix("192.168.128.0/18")},
		{Subnet: netip.MustParsePrefix("192.168.192.0/19")}, {Subnet: netip.MustParsePrefix("192.168.224.0/20")},
		{Subnet: netip.MustParsePrefix("192.168.240.0/21")}, {Subnet: netip.MustParsePrefix("192.168.248.0/22")},
		{Subnet: netip.MustParsePrefix("192.168.252.0/23")},
	}}
	if got := free(); got != "only 192.168.254.0/24, 192.168.255.0/24" {
		t.Errorf("got %s", got)
	}
}

func TestKubeconfig(t *testing.T) {
	dir := t.TempDir()
	blocked := filepath.Join(dir, "file", "config")
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]Status{
		filepath.Join(dir, "file"): OK, filepath.Join(dir, "a", "b", "config"): OK, blocked: Fail, dir: Fail,
	} {
		if c := checkKubeconfig(t.Context(), &host{Env: Env{Kubeconfig: path}}); c.status != want {
			t.Errorf("%s: %+v", path, c)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("a check left something behind: %v %v", entries, err)
	}
}

// The checks run side by side: one that hangs keeps no other away, and its own time is bounded.
func TestChecksAreFast(t *testing.T) {
	env, _ := goodHost(t)
	env.DiskFree, env.FS = nil, os.DirFS("/")
	begun := time.Now()
	Run(t.Context(), env)
	if took := time.Since(begun); took > time.Second { // 100 ms is the aim; a busy machine is no fault of the code
		t.Errorf("the checks took %s", took)
	}
}

func TestCauseNamesTheFile(t *testing.T) {
	if got := cause(&fs.PathError{Op: "open", Path: "proc/x", Err: fs.ErrPermission}).Error(); got != "/proc/x cannot be read: permission denied" {
		t.Error(got)
	}
	if err := errors.New("x"); cause(err) != err { //nolint:errorlint // the very same
		t.Error("another error was changed")
	}
}
