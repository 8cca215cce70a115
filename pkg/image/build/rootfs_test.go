package build

import (
	"archive/tar"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// rootfsArchive writes an archive as mmdebstrap does, with "./" before every name.
func rootfsArchive(t *testing.T, entries []tar.Header, data map[string]string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "base.tar")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := tar.NewWriter(f)
	for _, h := range entries {
		h.Size = int64(len(data[h.Name]))
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		if err := out.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(out, data[h.Name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadRootfs(t *testing.T) {
	archive := rootfsArchive(t, []tar.Header{
		{Name: "./", Typeflag: tar.TypeDir},
		{Name: "./usr/bin/", Typeflag: tar.TypeDir},
		{Name: "./bin", Typeflag: tar.TypeSymlink, Linkname: "usr/bin"},
		{Name: "./usr/bin/su", Typeflag: tar.TypeReg, Mode: 0o4755},
		{Name: "./usr/bin/write", Typeflag: tar.TypeReg, Mode: 0o2755, Gid: 5},
		{Name: "./usr/bin/perl5.40", Typeflag: tar.TypeReg},
		{Name: "./usr/bin/gunzip", Typeflag: tar.TypeReg},
		{Name: "./usr/bin/uncompress", Typeflag: tar.TypeLink, Linkname: "./usr/bin/gunzip"},
		{Name: "./usr/share/doc/bash/copyright", Typeflag: tar.TypeReg},
		{Name: "./usr/share/doc/bash/README", Typeflag: tar.TypeReg},
		{Name: "./usr/share/man/man1/su.1", Typeflag: tar.TypeReg},
		{Name: "./dev/null", Typeflag: tar.TypeChar},
	}, map[string]string{"./usr/bin/su": "su program", "./usr/bin/gunzip": "zipped", "./usr/bin/write": "write"})
	tr, err := readRootfs(archive)
	if err != nil {
		t.Fatal(err)
	}
	files, _ := written(t, tr)
	for _, name := range []string{"usr/bin/perl5.40", "usr/share/doc/bash/README", "usr/share/man/man1/su.1", "dev/null", "./", "/"} {
		if _, ok := files[name]; ok {
			t.Errorf("%s is still there", name)
		}
	}
	if f := files["usr/bin/su"]; f.data != "su program" || f.Mode != 0o4755 {
		t.Errorf("su is %q, mode %o", f.data, f.Mode)
	}
	if f := files["usr/bin/write"]; f.data != "write" || f.Gid != 5 {
		t.Errorf("write is %q, group %d", f.data, f.Gid)
	}
	if f := files["usr/bin/gunzip"]; f.data != "zipped" {
		t.Errorf("gunzip is %+v", f)
	}
	if f := files["usr/bin/uncompress"]; f.Typeflag != tar.TypeLink || f.Linkname != "usr/bin/gunzip" {
		t.Errorf("uncompress is %+v", f.Header)
	}
	if _, ok := files["usr/share/doc/bash/copyright"]; !ok {
		t.Error("the copyright file is gone")
	}
	for dir, mode := range map[string]int64{"tmp/": 0o1777, "run/": 0o755, "dev/": 0o755, "proc/": 0o755, "sys/": 0o755} {
		if f := files[dir]; f.Typeflag != tar.TypeDir || f.Mode != mode {
			t.Errorf("%s is %+v", dir, f.Header)
		}
	}
}

func TestReadRootfsRefusesRubbish(t *testing.T) {
	if _, err := readRootfs(writeFile(t, t.TempDir(), "base.tar", strings.Repeat("rubbish", 200))); err == nil {
		t.Error("no error")
	}
}

func TestDropped(t *testing.T) {
	for name, want := range map[string]bool{
		"usr/share/man/man8/x": true, "usr/share/doc/x/copyright": false, "usr/share/doc/x": false, "usr/share/doc/x/changelog.gz": true,
		"usr/lib/x86_64-linux-gnu/perl-base/x": true, "usr/lib/x86_64-linux-gnu/gconv/x.so": true, "usr/lib/x86_64-linux-gnu/libc.so.6": false,
		"usr/sbin/nft": false, "var/lib/dpkg/status": false, "var/lib/dpkg/info/x.list": true, "tmp": true, "tmpfile": false,
		"etc/ssl/certs/ca-certificates.crt": false, "usr/share/ca-certificates/x": false,
		"usr/sbin/haproxy": false, "etc/haproxy/haproxy.cfg": true, "etc/rc2.d/S01haproxy": true, "usr/sbin/useradd": true, "usr/bin/passwd": true,
		"etc/passwd": false, "usr/share/doc/passwd/copyright": false, "usr/lib/x86_64-linux-gnu/liblua5.4.so.0": false,
		"usr/lib/x86_64-linux-gnu/liblua5.4-c++.so.0": true, "usr/lib/x86_64-linux-gnu/libopentracing.so.1": false,
		"usr/lib/x86_64-linux-gnu/libopentracing_mocktracer.so.1": true, "usr/lib/x86_64-linux-gnu/libsepol.so.2": true,
		"usr/lib/x86_64-linux-gnu/libselinux.so.1": false,
	} {
		if got := dropped(name); got != want {
			t.Errorf("dropped(%q) = %t", name, got)
		}
	}
}

func TestRootfsHasWhatANodeNeeds(t *testing.T) {
	for _, name := range []string{"bash", "mount", "procps", "iproute2", "nftables", "iptables", "conntrack", "kmod", "ca-certificates", "haproxy"} {
		if !slices.Contains(rootfsPackages(), name) {
			t.Errorf("%s is not installed", name)
		}
	}
	if rootfsKey("amd64") == rootfsKey("arm64") {
		t.Error("two architectures share a root file system")
	}
}

func TestSourcesIn(t *testing.T) {
	const release = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\n"
	const own = "http://mirror.example/debian/ bookworm main\n"
	for name, c := range map[string]struct {
		targets string
		want    []string
	}{
		"all": {
			"https://packages.example/tool/ stable main\nhttp://mirror.example/security/ bookworm-security main\n" + own + "http://mirror.example/debian/ bookworm-updates main\n",
			[]string{"deb http://mirror.example/debian/ trixie main", "deb http://mirror.example/debian/ trixie-updates main", "deb http://mirror.example/security/ trixie-security main"},
		},
		"release only":  {own + own, []string{"deb http://mirror.example/debian/ trixie main"}},
		"security only": {"http://mirror.example/security/ bookworm-security main\n", nil},
		"component":     {"http://mirror.example/debian/ bookworm contrib\n", nil},
		"local":         {"file:/srv/debian/ bookworm main\n", nil},
		"nothing":       {"", nil},
	} {
		if got := sourcesIn(release, c.targets); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestDebianArch(t *testing.T) {
	for arch, want := range map[string]string{"amd64": "amd64", "arm64": "arm64", "arm": "armhf"} {
		if got := debianArch(arch); got != want {
			t.Errorf("%s: %s", arch, got)
		}
	}
}
