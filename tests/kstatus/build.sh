#!/bin/sh
# Prints the path of a program that says what kstatus makes of objects, built from its Go module, once, into the
# user's cache. Progress goes to standard error.
# It must never leave a half-built directory where a finished one is looked for.
set -eu
here=$(cd "$(dirname "$0")" && pwd)

version=$(sed -n 's|^[[:space:]]*github.com/fluxcd/cli-utils \(v[0-9.]*\)$|\1|p' "$here/go.mod")
sum=$(cat "$here/go.mod" "$here/go.sum" "$here/main.go" "$here/build.sh" | cksum | cut -d ' ' -f 1)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/oauthcc-operator/kstatus
finished=$cache/$version-$sum

if [ -x "$finished/kstatus" ]; then
	echo "$finished/kstatus"
	exit 0
fi

mkdir -p "$cache"
# Two runs of make test at once build once: the second waits for the first.
if command -v flock >/dev/null 2>&1 && [ -z "${OAUTHCC_KSTATUS_LOCKED:-}" ]; then
	OAUTHCC_KSTATUS_LOCKED=1 exec flock "$cache/lock" "$here/build.sh"
fi

building=$(mktemp -d "$cache/building.XXXXXX")
trap 'rm -rf "$building"' EXIT
started=$(date +%s)
echo "Building kstatus $version from its Go module, once (about 20 s on 2 cores, then kept in $cache)" >&2
(cd "$here" && CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -o "$building/kstatus" .)
mv "$building" "$finished"
trap - EXIT
echo "  done in $(($(date +%s) - started)) s" >&2
echo "$finished/kstatus"
