#!/bin/sh
# Gets what a node is made of, once, into the user's cache, and prints the directory that holds it: kubelet, built
# from the Go modules of tests/control-plane; containerd, its shim, ctr and runc, unpacked from the packages of
# this distribution; image.tar, an image with nothing but a static busybox. Progress goes to standard error.
# It must never install a package, nor leave a half-filled directory where a finished one is looked for.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
modules=$here/../control-plane

sum=$(cat "$modules/go.mod" "$modules/go.sum" "$modules/compile.sh" "$here/fetch.sh" | cksum | cut -d ' ' -f 1)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/oauthcc-operator/node
finished=$cache/$sum

if [ -d "$finished" ]; then
	echo "$finished"
	exit 0
fi

mkdir -p "$cache"
# Two runs at once get it once: the second waits for the first.
if command -v flock >/dev/null 2>&1 && [ -z "${OAUTHCC_NODE_LOCKED:-}" ]; then
	OAUTHCC_NODE_LOCKED=1 exec flock "$cache/lock" "$here/fetch.sh"
fi

building=$(mktemp -d "$cache/building.XXXXXX")
trap 'rm -rf "$building"' EXIT
trap 'exit 130' INT TERM # Then the line above runs too, in every sh.
started=$(date +%s)
echo "Getting a node, once (30 MB of packages, and the kubelet from Go modules: about a minute on 2 cores after the control plane; then kept in $cache)" >&2
made=$building/node
unpacked=$building/unpacked
mkdir "$made" "$unpacked"

# As root, apt warns that its own user can't write here; the packages are verified all the same.
download() {
	(cd "$building" && apt-get -qq "$@" download containerd runc busybox-static >apt.log 2>&1)
}

# The lists of this machine may be missing or old. New ones are got beside them, so that apt here stays as it is.
if ! download; then
	mkdir -p "$building/lists/partial"
	lists="-o Dir::State::Lists=$building/lists"
	{ apt-get -qq $lists update >"$building/apt.log" 2>&1 && download $lists; } || {
		cat "$building/apt.log" >&2
		echo "apt-get could not download containerd, runc and busybox-static; its words are above" >&2
		exit 1
	}
fi
for package in "$building"/*.deb; do
	dpkg-deb --extract "$package" "$unpacked"
done
for program in containerd containerd-shim-runc-v2 ctr runc busybox; do
	found=$(find "$unpacked" -type f -perm -u+x -name "$program" | head -n 1)
	[ -n "$found" ] || { echo "none of the packages holds $program" >&2; exit 1; }
	mv "$found" "$made/"
done
"$made/runc" --version >/dev/null || {
	echo "runc does not run here; what it lacks is named above ('apt-get install libseccomp2' if it is that)" >&2
	exit 1
}

# An image of one layer (OCI image layout 1.0): busybox, and a link for each of its commands.
root=$building/root
layout=$building/layout
mkdir -p "$root/bin" "$root/tmp" "$layout/blobs/sha256"
cp "$made/busybox" "$root/bin/"
for command in $("$made/busybox" --list); do
	[ "$command" = busybox ] || ln -s busybox "$root/bin/$command"
done
tar --create --owner=0 --group=0 --numeric-owner --directory "$root" --file "$building/layer" .

blob() { # file: moves it among the blobs, and prints its descriptor without the type
	digest=$(sha256sum "$1" | cut -d ' ' -f 1)
	size=$(wc -c <"$1" | tr -d ' ')
	mv "$1" "$layout/blobs/sha256/$digest"
	echo "\"digest\": \"sha256:$digest\", \"size\": $size"
}

type=application/vnd.oci.image
layer=$(sha256sum "$building/layer" | cut -d ' ' -f 1)
cat >"$building/config" <<EOF
{"architecture": "$(go env GOARCH)", "os": "linux",
 "config": {"Env": ["PATH=/bin"], "Cmd": ["sleep", "2147483647"]},
 "rootfs": {"type": "layers", "diff_ids": ["sha256:$layer"]}}
EOF
cat >"$building/manifest" <<EOF
{"schemaVersion": 2, "mediaType": "$type.manifest.v1+json",
 "config": {"mediaType": "$type.config.v1+json", $(blob "$building/config")},
 "layers": [{"mediaType": "$type.layer.v1.tar", $(blob "$building/layer")}]}
EOF
cat >"$layout/index.json" <<EOF
{"schemaVersion": 2, "manifests": [{
 "mediaType": "$type.manifest.v1+json", $(blob "$building/manifest"),
 "annotations": {"io.containerd.image.name": "localhost/busybox:1"}}]}
EOF
echo '{"imageLayoutVersion": "1.0.0"}' >"$layout/oci-layout"
tar --create --directory "$layout" --file "$made/image.tar" .

"$modules/compile.sh" "$made/kubelet" k8s.io/kubernetes/cmd/kubelet
mv "$made" "$finished"
echo "  done in $(($(date +%s) - started)) s" >&2
echo "$finished"
