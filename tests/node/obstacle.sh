#!/bin/sh
# Says in one line why no node can run on this machine, and nothing where one can.
# It must leave nothing behind.
set -u

[ "$(uname)" = Linux ] || { echo "this is not Linux"; exit 0; }
[ "$(id -u)" = 0 ] || { echo "only root can run a node"; exit 0; }
for program in apt-get dpkg-deb tar sha256sum unshare mount; do
	command -v "$program" >/dev/null 2>&1 || { echo "$program is not on PATH"; exit 0; }
done
unshare --mount --pid --fork --kill-child --mount-proc true 2>/dev/null || { echo "this root may make no namespaces"; exit 0; }
# The places where the hierarchies of control groups are mounted.
groups=$(sed -n 's|^[^ ]* \([^ ]*\) cgroup2\{0,1\} .*|\1|p' /proc/mounts)
[ -n "$groups" ] || { echo "no control groups are mounted"; exit 0; }
for hierarchy in $groups; do
	probe=$hierarchy/oauthcc-probe-$$
	{ mkdir "$probe" && rmdir "$probe"; } 2>/dev/null || { echo "$hierarchy is read-only here"; exit 0; }
done
# Where version 2 is all there is, a kubelet wants each of these in its group, and only the root can hand it down.
for controller in cpu cpuset memory hugetlb pids; do
	top=/sys/fs/cgroup
	grep -qw "$controller" "$top/cgroup.controllers" 2>/dev/null || continue
	grep -qw "$controller" "$top/cgroup.subtree_control" || {
		echo "control groups have no $controller here ('echo +$controller >$top/cgroup.subtree_control' changes that)"
		exit 0
	}
done
