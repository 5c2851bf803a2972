#!/bin/sh
# The life of one node: start.sh PROGRAMS DIRECTORY [FLAG OF THE KUBELET]...
# It is the first process of mount and process namespaces of its own: when it ends, the kernel ends every container
# and drops every mount.
# PROGRAMS is what fetch.sh prints; DIRECTORY holds the configuration, and takes logs and state.
# It must never mount or set anything that the rest of the machine sees.
set -eu
programs=$1
directory=$2
shift 2 # What is left goes to the kubelet.
PATH=$programs:$PATH
export PATH

case $programs:$directory in
/run/* | /var/lib/* | /var/log/* | *:/run/* | *:/var/lib/* | *:/var/log/*)
	echo "a node hides /run, /var/lib and /var/log, so neither $programs nor $directory may be there: set XDG_CACHE_HOME or TMPDIR"
	exit 1
	;;
esac

# Where programs write without being asked, whatever is configured.
for hidden in /run /var/lib /var/log; do
	mount -t tmpfs node "$hidden"
done

# A kubelet sets these for the whole machine. Here it reads the values that it wants, and has nothing to set;
# `protectKernelDefaults` makes it end where that is not so.
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
	kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
	file=$directory/sysctl.$(basename "${setting%%=*}")
	echo "${setting#*=}" >"$file"
	mount --bind "$file" "/proc/sys/${setting%%=*}"
done

mkfifo "$directory/ended"
trap 'exit 0' TERM

(
	containerd --config "$directory/containerd.toml" >"$directory/containerd.log" 2>&1 || true
	echo containerd >"$directory/ended"
) &

# Whoever started this bounds the waits.
until [ -S /run/containerd/containerd.sock ]; do
	sleep 0.1
done
import() {
	ctr --namespace k8s.io images import "$programs/image.tar" >>"$directory/import.log" 2>&1
}
until import; do
	sleep 0.1
done

(
	kubelet --config "$directory/kubelet.yaml" --root-dir "$directory/kubelet" "$@" >"$directory/kubelet.log" 2>&1 || true
	echo kubelet >"$directory/ended"
) &

read -r ended <"$directory/ended"
echo "$ended has ended:"
tail -n 15 "$directory/$ended.log"
exit 1
