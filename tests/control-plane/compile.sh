#!/bin/sh
# Compiles one command of the Go modules named here: compile.sh OUTPUT PACKAGE.
# The version is stamped in: without it Kubernetes calls itself v0.0.0, and clients may refuse it.
# It must never write anything but OUTPUT and what Go caches.
set -eu
cd "$(dirname "$0")"
version=$(sed -n 's|^[[:space:]]*k8s.io/kubernetes \(v[0-9.]*\).*|\1|p' go.mod | head -n 1)
minor=$(echo "$version" | cut -d . -f 2)
stamp="-X k8s.io/component-base/version.gitVersion=$version -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=$minor -X k8s.io/client-go/pkg/version.gitVersion=$version"
CGO_ENABLED=0 exec go build -mod=readonly -trimpath -ldflags "-s -w $stamp" -o "$1" "$2"
