#!/bin/sh
# Prints the path of a Helm that renders the chart: the one on PATH where it is v3.14 or later or v4,
# else one that is built from its Go module, once, into the user's cache. Progress goes to standard error.
# HELM, where set, is used as it is and nothing is built.
# It must never leave a half-built directory where a finished one is looked for.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

if [ -n "${HELM:-}" ]; then
	command -v "$HELM" >/dev/null 2>&1 || {
		echo "HELM=$HELM is no program: name a Helm v3.14 or later, or unset the variable to have one built" >&2
		exit 1
	}
	command -v "$HELM"
	exit 0
fi

if found=$(command -v helm 2>/dev/null); then
	case $("$found" version --template '{{.Version}}' 2>/dev/null || echo unknown) in
	v3.1[4-9].* | v3.[2-9][0-9].* | v4.*)
		echo "$found"
		exit 0
		;;
	esac
fi

version=$(sed -n 's|^require helm.sh/helm/v4 \(v[0-9.]*\)$|\1|p' "$here/go.mod")
sum=$(cat "$here/go.mod" "$here/go.sum" "$here/build.sh" | cksum | cut -d ' ' -f 1)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/oauthcc-operator/helm
finished=$cache/$version-$sum

if [ -x "$finished/helm" ]; then
	echo "$finished/helm"
	exit 0
fi

mkdir -p "$cache"
# Two runs at once (make test beside make manifests) build once: the second waits for the first.
if command -v flock >/dev/null 2>&1 && [ -z "${OAUTHCC_HELM_LOCKED:-}" ]; then
	OAUTHCC_HELM_LOCKED=1 exec flock "$cache/lock" "$here/build.sh"
fi

building=$(mktemp -d "$cache/building.XXXXXX")
trap 'rm -rf "$building"' EXIT
started=$(date +%s)
echo "Building Helm $version from its Go module, once (about 2 minutes on 2 cores, then kept in $cache)" >&2
(cd "$here" && CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=$version" -o "$building/helm" helm.sh/helm/v4/cmd/helm)
mv "$building" "$finished"
trap - EXIT
echo "  done in $(($(date +%s) - started)) s" >&2
echo "$finished/helm"
