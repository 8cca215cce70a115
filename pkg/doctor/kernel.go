package doctor

import (
	"bufio"
	"compress/gzip"
	"context"
	"io"
	"io/fs"
	"strings"
)

// feature is something that a kernel may have built in, loaded, or at hand as a module.
type feature struct{ module, config string }

// kernel is what can be known of a kernel's features.
type kernel struct {
	known   bool
	modules map[string]bool // loaded, built in or loadable; "-" in names is "_"
	config  map[string]bool // set to y or m
}

// readKernel reads the lists that there are: the loaded modules, those of the kernel's package, and its configuration.
func readKernel(h *host) kernel {
	k := kernel{modules: map[string]bool{}, config: map[string]bool{}}
	for _, list := range []string{
		"proc/modules",
		"lib/modules/" + h.Info.Kernel + "/modules.builtin",
		"lib/modules/" + h.Info.Kernel + "/modules.dep",
	} {
		if data, err := fs.ReadFile(h.FS, list); err == nil {
			// The loaded modules alone do not tell what is built in or could be loaded.
			k.known = k.known || list != "proc/modules"
			for line := range strings.Lines(string(data)) {
				k.modules[moduleName(line)] = true
			}
		}
	}
	if config, err := readConfig(h); err == nil {
		k.known = true
		for line := range strings.Lines(string(config)) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && (value == "y" || value == "m") {
				k.config[name] = true
			}
		}
	}
	return k
}

// moduleName reads the name off a line of one of the lists: "nft_nat 16384 0 - Live 0x0", "kernel/net/x/nft_nat.ko.xz:".
func moduleName(line string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(line), " ")
	first = strings.TrimSuffix(first, ":")
	first = first[strings.LastIndexByte(first, '/')+1:]
	name, _, _ := strings.Cut(first, ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// readConfig returns the kernel's configuration, from where the kernel itself or its package keeps it.
func readConfig(h *host) ([]byte, error) {
	f, err := h.FS.Open("proc/config.gz")
	if err != nil {
		return fs.ReadFile(h.FS, "boot/config-"+h.Info.Kernel)
	}
	defer f.Close()
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, 4<<20))
}

// missing returns the modules that the kernel has not.
func (k kernel) missing(features []feature) []string {
	var names []string
	for _, f := range features {
		if !k.modules[f.module] && !k.config[f.config] {
			names = append(names, f.module)
		}
	}
	return names
}

func checkOverlay(_ context.Context, h *host) finding {
	f := finding{status: OK, value: "there", need: "the file system that pods are made of", cure: "sudo modprobe overlay"}
	if data, err := fs.ReadFile(h.FS, "proc/filesystems"); err == nil && strings.Contains(string(data), "\toverlay\n") {
		return f
	}
	return h.features(f, []feature{{"overlay", "CONFIG_OVERLAY_FS"}})
}

func checkNftables(_ context.Context, h *host) finding {
	return h.features(
		finding{
			status: OK, value: "there", need: "what kube-proxy writes its rules for",
			cure: "sudo modprobe the missing modules, or set networking.kubeProxyMode to iptables",
		},
		[]feature{
			{"nf_tables", "CONFIG_NF_TABLES"},
			{"nft_ct", "CONFIG_NFT_CT"},
			{"nft_nat", "CONFIG_NFT_NAT"},
			{"nft_masq", "CONFIG_NFT_MASQ"},
			{"nft_numgen", "CONFIG_NFT_NUMGEN"},
			{"nft_fib_inet", "CONFIG_NFT_FIB_INET"},
			{"nft_reject_inet", "CONFIG_NFT_REJECT_INET"},
		})
}

func checkBridge(_ context.Context, h *host) finding {
	f := finding{status: OK, value: "there", need: "for pod networks of your own that use bridges", cure: "sudo modprobe br_netfilter"}
	if _, err := fs.Stat(h.FS, "proc/sys/net/bridge/bridge-nf-call-iptables"); err == nil {
		return f
	}
	return h.features(f, []feature{{"br_netfilter", "CONFIG_BRIDGE_NETFILTER"}})
}

// features judges whether the kernel has them all. What is missing is no failure: modules may be loaded in ways that
// cannot be seen from here.
func (h *host) features(f finding, features []feature) finding {
	k := readKernel(h)
	missing := k.missing(features)
	switch {
	case len(missing) == 0:
	case !k.known:
		return skip("nothing here tells what the kernel has: no /lib/modules/%s, no configuration", h.Info.Kernel)
	default:
		f.status, f.value = Warn, "without "+strings.Join(missing, ", ")
	}
	return f
}
