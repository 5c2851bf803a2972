#!/bin/sh
# Checks what `make` needs on this machine: one line for each program that is missing or too old, and how to get it.
set -u
missing=0
found=

# 0 where version $1 is at least $2; both are major.minor, more is ignored.
at_least() {
	[ "${1%%.*}" -gt "${2%%.*}" ] && return 0
	[ "${1%%.*}" -eq "${2%%.*}" ] || return 1
	one=${1#*.}
	two=${2#*.}
	[ "${one%%.*}" -ge "${two%%.*}" ]
}

need() { # program, oldest version or "any", its version here, how to get it
	if ! command -v "$1" >/dev/null 2>&1; then
		[ "$2" = any ] && wanted= || wanted=" $2 or later"
		echo "missing: $1$wanted. $4" >&2
		missing=1
	elif [ "$2" = any ]; then
		found="$found $1,"
	elif [ -z "$3" ]; then
		echo "unusable: $1 is on PATH and does not tell its version. $4" >&2
		missing=1
	elif ! at_least "$3" "$2"; then
		echo "too old: $1 $3, $2 or later is needed. $4" >&2
		missing=1
	else
		found="$found $1 $3,"
	fi
}

rust="Get Rust from https://rustup.rs (the toolchain that rust-toolchain.toml names comes by itself)."
need cargo 1.89 "$(cargo --version 2>/dev/null | sed -n 's/^cargo \([0-9][0-9.]*\).*/\1/p')" "$rust"
need rustc 1.89 "$(rustc --version 2>/dev/null | sed -n 's/^rustc \([0-9][0-9.]*\).*/\1/p')" "$rust"
need cc any "" "Get a C compiler: 'apt-get install gcc libc6-dev', 'dnf install gcc' or 'xcode-select --install'."
need go 1.26 "$(go env GOVERSION 2>/dev/null | sed -n 's/^go\([0-9][0-9.]*\).*/\1/p')" "Get Go from https://go.dev/dl; it builds the Kubernetes control plane of the tests."
need node 20.0 "$(node --version 2>/dev/null | sed -n 's/^v\([0-9][0-9.]*\).*/\1/p')" "Get Node from https://nodejs.org; it runs the authorization server of the tests."
need npm any "" "npm comes with Node: https://nodejs.org."
need make any "" "Get GNU make: 'apt-get install make'."
if [ "$(uname)" = Linux ]; then
	need setpriv any "" "Get util-linux: 'apt-get install util-linux'; with setpriv no process of the tests outlives them."
fi

if [ "$missing" != 0 ]; then
	exit 1
fi
echo "Found${found%,}." >&2
