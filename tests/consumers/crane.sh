#!/bin/sh
# Builds crane, a client of image registries, from its Go module, once, into the user's cache, and prints the
# program. Progress goes to standard error.
# It must never leave a half-built program where a finished one is looked for.
set -eu
here=$(cd "$(dirname "$0")/crane" && pwd)
version=$(sed -n 's|^require github.com/google/go-containerregistry \(v[0-9.]*\).*|\1|p' "$here/go.mod")
sum=$(cat "$here/go.mod" "$here/go.sum" | cksum | cut -d ' ' -f 1)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/oauthcc-operator/consumers
finished=$cache/crane-$version-$sum

if [ ! -x "$finished" ]; then
	echo "Building crane $version from its Go module, once (7 s on 2 cores, then kept in $cache)" >&2
	mkdir -p "$cache"
	building=$(mktemp -d "$cache/building.XXXXXX")
	trap 'rm -rf "$building"' EXIT
	trap 'exit 130' INT TERM # Then the line above runs too, in every sh.
	(cd "$here" && CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -o "$building/crane" \
		github.com/google/go-containerregistry/cmd/crane) >&2
	# Two runs at once both build it, and the second replaces the first by the same.
	mv "$building/crane" "$finished"
fi
echo "$finished"
