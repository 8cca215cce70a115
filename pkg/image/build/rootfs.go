package build

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cove-k8s/cove/pkg/event"
	"github.com/cove-k8s/cove/pkg/fault"
)

// suite is the Debian release of the root file system, whatever this machine runs.
const suite = "trixie"

// rootfsPackages are the packages beyond the essential ones (coreutils, grep, sed, tar, findutils, hostname, util-linux …).
func rootfsPackages() []string {
	return []string{
		"bash", "busybox-static", "ca-certificates", "conntrack", "ethtool", "haproxy", "iproute2", "iptables", "kmod", "mount",
		"nftables", "procps", "socat",
	}
}

// dropped reports whether a path of the root file system is not needed: documentation, translations, what makes
// packages installable. Copyright files and the list of packages stay.
func dropped(name string) bool {
	if strings.HasPrefix(name, "usr/share/doc/") {
		return strings.Count(name, "/") > 3 && path.Base(name) != "copyright"
	}
	for _, p := range droppedPrefixes() {
		if name == p || strings.HasPrefix(name, p+"/") {
			return true
		}
	}
	if dir, base := path.Split(name); slices.Contains(accountTools(), base) && (dir == "usr/bin/" || dir == "usr/sbin/") {
		return true
	}
	if strings.HasPrefix(name, "usr/lib/") {
		for _, part := range []string{"/gconv/", "/perl-base", "/libopentracing_mocktracer.so", "/liblua5.4-c++.so", "/libsemanage.so", "/libsepol.so"} {
			if strings.Contains(name, part) {
				return true
			}
		}
	}
	return strings.HasPrefix(name, "usr/bin/perl")
}

// accountTools are the programs of adduser and passwd, which haproxy's package needs while it is installed: a node has root alone.
func accountTools() []string {
	return []string{
		"addgroup", "adduser", "chage", "chfn", "chgpasswd", "chpasswd", "chsh", "delgroup", "deluser", "expiry", "gpasswd", "groupadd",
		"groupdel", "groupmod", "grpck", "grpconv", "grpunconv", "halog", "newusers", "passwd", "pwck", "pwconv", "pwunconv",
		"shadowconfig", "useradd", "userdel", "usermod", "vigr", "vipw",
	}
}

func droppedPrefixes() []string {
	return []string{
		"dev", "proc", "sys", "run", "tmp", // the engine fills them
		"usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian", "usr/share/bug", "usr/share/bash-completion",
		"usr/share/perl5", "usr/share/pam-configs", "usr/share/doc-base", "usr/share/gcc", "usr/share/gdb", "usr/share/zoneinfo",
		"usr/share/polkit-1", "usr/share/debconf", "usr/lib/apt", "usr/lib/systemd", "usr/lib/udev/hwdb.d", "usr/lib/dpkg",
		"usr/games", "usr/local/games", "usr/src", "etc/apt", "etc/cron.daily", "etc/systemd", "etc/init.d", "etc/hostname",
		"etc/machine-id", "etc/resolv.conf", "etc/hosts", "etc/rc0.d", "etc/rc1.d", "etc/rc2.d", "etc/rc3.d", "etc/rc4.d", "etc/rc5.d",
		"etc/rc6.d", "etc/rcS.d", "etc/haproxy", "etc/default/haproxy", "etc/logrotate.d", "etc/rsyslog.d", "etc/adduser.conf",
		"etc/deluser.conf", "etc/login.defs", "etc/selinux",
		"var/cache", "var/lib/apt", "var/log", "var/lib/dpkg/info", "var/lib/systemd", "var/backups", "var/lib/dpkg/status-old",
	}
}

// rootfsKey is the hash of what the root file system is made from. Debian's own updates are not part of it: they come
// with Options.Fresh.
func rootfsKey(arch string) string {
	h := newHasher()
	h.add("rootfs", "2", suite, arch)
	h.add(rootfsPackages()...)
	return h.sum()
}

// rootfs makes the root file system as an archive, or takes it from the cache. It returns the folder of base.tar.
func (b *builder) rootfs(ctx context.Context) (dir string, err error) {
	err = b.Emitter.Step(ctx, "image/rootfs", "Make the root file system (Debian "+suite+")", func(ctx context.Context, r *event.Reporter) error {
		cached := false
		dir, cached, err = b.cache.get(ctx, partRootfs, rootfsKey(b.arch), b.Fresh, waits(r), func(ctx context.Context, work string) error {
			args := []string{
				"mmdebstrap", "--variant=essential", "--format=tar", "--architectures=" + debianArch(b.arch), "--dpkgopt=force-unsafe-io",
				"--include=" + strings.Join(rootfsPackages(), ","), suite, filepath.Join(work, "out", "base.tar"),
			}
			args = append(args, hostSources(ctx)...)
			err := run(ctx, b.cache.log(partRootfs), command{dir: work, env: rootfsEnv(work), args: args}, func(line string) { r.Waiting("%.80s", line) })
			return fault.Wrap(fault.ImageBuild, err, "cannot make the root file system")
		})
		return skipIf(cached, err)
	})
	return dir, err
}

// rootfsEnv makes root's mmdebstrap work where the build cleans up. Other users' works in a user namespace, which does not
// reach into a home directory: it stays in the machine's own folder for such things.
func rootfsEnv(work string) []string {
	env := os.Environ()
	if os.Geteuid() == 0 {
		env = append(env, "TMPDIR="+work)
	}
	return env
}

// debianArch is Debian's name of an architecture.
func debianArch(arch string) string {
	if arch == "arm" {
		return "armhf"
	}
	return arch
}

// hostSources returns apt's lines for the suite, with the mirrors that this machine takes Debian from, if it runs Debian: a
// mirror has every release. None leaves the choice to mmdebstrap.
func hostSources(ctx context.Context) []string {
	release, err := os.ReadFile("/etc/os-release")
	if err != nil || !strings.Contains("\n"+string(release), "\nID=debian\n") {
		return nil
	}
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages").Output()
	if err != nil {
		return nil
	}
	return sourcesIn(string(release), string(out))
}

// sourcesIn turns the machine's own sources (its release, updates and security) into those of the suite. Without a mirror of
// the release itself there are none.
func sourcesIn(release, targets string) []string {
	codename := ""
	for line := range strings.Lines(release) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); ok {
			codename = strings.Trim(v, `"`)
		}
	}
	var lines []string
	for _, pocket := range []string{"", "-updates", "-security"} {
		for line := range strings.Lines(targets) {
			f := strings.Fields(line)
			if len(f) >= 3 && f[1] == codename+pocket && f[2] == "main" && strings.HasPrefix(f[0], "http") {
				lines = append(lines, "deb "+f[0]+" "+suite+pocket+" main")
				break
			}
		}
		if len(lines) == 0 {
			return nil
		}
	}
	return lines
}

// readRootfs returns the tree of base.tar without what is dropped. Files are read from the archive when they are needed.
func readRootfs(archive string) (tree, error) {
	f, err := os.Open(archive) //nolint:gosec // the cache's own file
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, hard := tree{}, map[string]string{}
	in := tar.NewReader(f)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", archive, err)
		}
		name := strings.Trim(strings.TrimPrefix(h.Name, "."), "/")
		if name == "" || dropped(name) {
			continue
		}
		offset, err := f.Seek(0, io.SeekCurrent) // archive/tar reads no further than the header
		if err != nil {
			return nil, err
		}
		if h.Typeflag == tar.TypeLink {
			hard[name] = strings.Trim(strings.TrimPrefix(h.Linkname, "."), "/")
			continue
		}
		n, ok := rootfsNode(h, name, archive, offset)
		if ok {
			t[name] = n
		}
	}
	for name, target := range hard {
		n := t[target]
		n.path = name
		t[name] = n
	}
	for _, dir := range []string{"dev", "proc", "sys", "run", "var/cache", "var/log", "var/lib"} {
		t.dir(dir, 0o755)
	}
	t.dir("tmp", 0o1777)
	return t, nil
}

// rootfsNode makes a node of an archive's entry; device files are left to the engine.
func rootfsNode(h *tar.Header, name, archive string, offset int64) (node, bool) {
	n := node{path: name, mode: h.Mode & 0o7777, uid: h.Uid, gid: h.Gid}
	switch h.Typeflag {
	case tar.TypeDir:
		n.dir = true
	case tar.TypeSymlink:
		n.link = h.Linkname
	case tar.TypeReg:
		n.size, n.source = h.Size, "rootfs:"+name
		n.open = func() (io.ReadCloser, error) { return openSection(archive, offset, h.Size) }
	default:
		return n, false
	}
	return n, true
}

// section is a part of a file.
type section struct {
	*io.SectionReader
	io.Closer
}

func openSection(name string, offset, size int64) (io.ReadCloser, error) {
	f, err := os.Open(name) //nolint:gosec // the cache's own file
	if err != nil {
		return nil, err
	}
	return section{io.NewSectionReader(f, offset, size), f}, nil
}
