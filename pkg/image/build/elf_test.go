package build

import (
	"bytes"
	"debug/elf"
	encoding "encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
)

// program makes a small ELF file that wants the loader and the libraries.
func program(t *testing.T, loader string, libraries ...string) string {
	t.Helper()
	names := "\x00"
	var dynamic []elf.Dyn64
	for _, l := range libraries {
		dynamic = append(dynamic, elf.Dyn64{Tag: int64(elf.DT_NEEDED), Val: uint64(len(names))})
		names += l + "\x00"
	}
	dynamic = append(dynamic, elf.Dyn64{})
	const head, prog, sect, dyn = 64, 56, 64, 16
	interp := uint64(head + prog)
	if loader != "" {
		loader += "\x00"
	}
	text := interp + uint64(len(loader))
	table := text + uint64(len(names))
	sections := table + uint64(len(dynamic)*dyn)
	h := elf.Header64{
		Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: 1, Phoff: head, Shoff: sections, Ehsize: head,
		Phentsize: prog, Phnum: 1, Shentsize: sect, Shnum: 3, Shstrndx: 2,
	}
	copy(h.Ident[:], elf.ELFMAG+"\x02\x01\x01")
	p := elf.Prog64{Type: uint32(elf.PT_NULL)}
	if loader != "" {
		p = elf.Prog64{Type: uint32(elf.PT_INTERP), Off: interp, Filesz: uint64(len(loader))}
	}
	var b bytes.Buffer
	for _, v := range []any{
		h, p, []byte(loader), []byte(names), dynamic, elf.Section64{},
		elf.Section64{Type: uint32(elf.SHT_DYNAMIC), Off: table, Size: uint64(len(dynamic) * dyn), Link: 2, Entsize: dyn},
		elf.Section64{Type: uint32(elf.SHT_STRTAB), Off: text, Size: uint64(len(names))},
	} {
		if err := encoding.Write(&b, encoding.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// toolsRootfs is a root file system with nft, iptables and what they need, laid out as Debian does.
func toolsRootfs(t *testing.T) tree {
	t.Helper()
	tr := tree{}
	add := func(name, data string) {
		tr.bytes(name, []byte(data))
		n := tr[name]
		n.source, n.mode = "rootfs:"+name, 0o755
		tr[name] = n
	}
	const loader, libs = "/lib64/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu/"
	tr.symlink("lib64", "usr/lib64")
	tr.symlink("lib", "usr/lib")
	tr.symlink("sbin", "usr/sbin")
	tr.symlink("usr/lib64/ld-linux-x86-64.so.2", "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
	add(libs+"ld-linux-x86-64.so.2", program(t, ""))
	add(libs+"libc.so.6", program(t, loader))
	tr.symlink(libs+"libnftables.so.1", "libnftables.so.1.1.0")
	add(libs+"libnftables.so.1.1.0", program(t, "", "libc.so.6", "libmnl.so.0"))
	add(libs+"libmnl.so.0", program(t, "", "libc.so.6"))
	add(libs+"libother.so.0", program(t, ""))
	add(libs+"xtables/libxt_conntrack.so", program(t, "", "libc.so.6"))
	tr.dir(libs+"xtables", 0o755)
	add("usr/sbin/nft", program(t, loader, "libnftables.so.1", "libc.so.6"))
	add("usr/sbin/xtables-nft-multi", program(t, loader, "libc.so.6"))
	for _, name := range []string{"iptables", "ip6tables"} {
		for _, suffix := range []string{"", "-save", "-restore"} {
			tr.symlink("usr/sbin/"+name+suffix, "/etc/alternatives/"+name+suffix)
			tr.symlink("etc/alternatives/"+name+suffix, "/usr/sbin/"+name+"-nft"+suffix)
			tr.symlink("usr/sbin/"+name+"-nft"+suffix, "xtables-nft-multi")
		}
	}
	add("usr/sbin/conntrack", program(t, loader, "libc.so.6"))
	add("usr/bin/kmod", program(t, loader, "libc.so.6"))
	tr.symlink("usr/sbin/modprobe", "../bin/kmod")
	add("usr/bin/busybox", "no ELF file")
	add("usr/bin/bash", program(t, loader, "libother.so.0"))
	add("var/lib/dpkg/status", "Package: bash\nVersion: 5.2-1\nArchitecture: amd64\nMaintainer: A <a@example.org>\n\n")
	return tr
}

func TestClosure(t *testing.T) {
	got, err := toolsRootfs(t).closure("usr/sbin/nft", "usr/sbin/iptables", "usr/lib/x86_64-linux-gnu/xtables/")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if !got[name].dir {
			names = append(names, name)
		}
	}
	want := strings.Fields(`etc/alternatives/iptables lib lib64 sbin
		usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 usr/lib/x86_64-linux-gnu/libc.so.6 usr/lib/x86_64-linux-gnu/libmnl.so.0
		usr/lib/x86_64-linux-gnu/libnftables.so.1 usr/lib/x86_64-linux-gnu/libnftables.so.1.1.0
		usr/lib/x86_64-linux-gnu/xtables/libxt_conntrack.so usr/lib64/ld-linux-x86-64.so.2
		usr/sbin/iptables usr/sbin/iptables-nft usr/sbin/nft usr/sbin/xtables-nft-multi`)
	if !slices.Equal(names, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(names, "\n"), strings.Join(want, "\n"))
	}
	in, err := got["usr/sbin/nft"].open()
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(in); err != nil || !strings.HasPrefix(string(data), elf.ELFMAG) {
		t.Errorf("nft is %.4q, %v", data, err)
	}
}

func TestClosureNamesWhatIsMissing(t *testing.T) {
	for name, spoil := range map[string]func(tree){
		"usr/sbin/nft":     func(tr tree) { delete(tr, "usr/sbin/nft") },
		"libnftables.so.1": func(tr tree) { delete(tr, "usr/lib/x86_64-linux-gnu/libnftables.so.1") },
		"ld-linux":         func(tr tree) { delete(tr, "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2") },
		"a link to a link": func(tr tree) {
			tr.symlink("usr/sbin/nft", "l0")
			for i := range maxLinks {
				tr.symlink(fmt.Sprintf("usr/sbin/l%d", i), fmt.Sprintf("l%d", i+1))
			}
		},
	} {
		tr := toolsRootfs(t)
		spoil(tr)
		if _, err := tr.closure("usr/sbin/nft"); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
