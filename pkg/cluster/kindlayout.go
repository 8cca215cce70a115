package cluster

// kindEntrypoint returns the command that starts a node of an image of kind's layout. The image's own entrypoint expects
// what --privileged gives: cgroups that can be written, /dev/kmsg, a containerd that may lower the scores of the OOM
// killer. Where the engine cannot give it, the same is arranged first; where it can, nothing changes.
func kindEntrypoint(own []string) []string {
	if len(own) == 0 {
		return nil // no node image; that it cannot run is found out at its start
	}
	return append([]string{"/bin/bash", "-c", kindPrepare, "cove-prepare"}, own...)
}

// kindPrepare does what an image of cove's own does in its PID 1. The sed is that of kind's entrypoint for user
// namespaces, so that it meets the image's file in the form that it knows; 24 is CAP_SYS_RESOURCE.
const kindPrepare = `while read -r _ _ _ _ point _; do
  case $point in /sys|/sys/fs/cgroup|/sys/fs/cgroup/*) mount -o remount,bind,rw "$point" || : ;; esac
done </proc/self/mountinfo
[ -e /dev/kmsg ] || mknod /dev/kmsg c 1 11 || :
while read -r name value; do
  [ "$name" = CapBnd: ] || continue
  ((16#$value >> 24 & 1)) || sed -i 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' /etc/containerd/config.toml
done </proc/self/status
exec "$@"`
