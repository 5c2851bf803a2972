#!/bin/sh
# Builds etcd, kube-apiserver, kube-controller-manager and kubectl from their Go modules, once, into the
# user's cache, and prints the directory that holds them. Progress goes to standard error.
# KUBEBUILDER_ASSETS, where set, is used as it is and nothing is built.
# It must never leave a half-built directory where a finished one is looked for.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
programs="etcd kube-apiserver kube-controller-manager kubectl"

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
	for program in $programs; do
		[ -x "$KUBEBUILDER_ASSETS/$program" ] || {
			echo "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS holds no $program: add it (envtest ships no kube-controller-manager), or unset the variable to have everything built" >&2
			exit 1
		}
	done
	echo "$KUBEBUILDER_ASSETS"
	exit 0
fi

version=$(sed -n 's|^[[:space:]]*k8s.io/kubernetes \(v[0-9.]*\).*|\1|p' "$here/go.mod" | head -n 1)
sum=$(cat "$here/go.mod" "$here/go.sum" "$here/build.sh" "$here/compile.sh" | cksum | cut -d ' ' -f 1)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/oauthcc-operator/control-plane
finished=$cache/$version-$sum

if [ -d "$finished" ]; then
	echo "$finished"
	exit 0
fi

mkdir -p "$cache"
# Two runs at once (make test beside make demo) build once: the second waits for the first.
if command -v flock >/dev/null 2>&1 && [ -z "${OAUTHCC_CONTROL_PLANE_LOCKED:-}" ]; then
	OAUTHCC_CONTROL_PLANE_LOCKED=1 exec flock "$cache/lock" "$here/build.sh"
fi

building=$(mktemp -d "$cache/building.XXXXXX")
trap 'rm -rf "$building"' EXIT
started=$(date +%s)
step=0

build() { # name, package, how long it takes cold on two cores
	step=$((step + 1))
	echo "  building $1 $version ($step of 4, $3 the first time)" >&2
	"$here/compile.sh" "$building/$1" "$2"
}

echo "Building the Kubernetes control plane from Go modules, once (about 5 minutes on 2 cores, then kept in $cache)" >&2
build etcd go.etcd.io/etcd/server/v3 "10 s"
build kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver "3.5 min"
build kube-controller-manager k8s.io/kubernetes/cmd/kube-controller-manager "1 min"
build kubectl k8s.io/kubernetes/cmd/kubectl "15 s"
mv "$building" "$finished"
trap - EXIT
echo "  done in $(($(date +%s) - started)) s" >&2
echo "$finished"
