#!/bin/sh
# Gets Prometheus from the packages of Debian or Ubuntu, once, into the user's cache, and prints the program;
# one on PATH is used as it is. Nothing is installed. Progress goes to standard error.
# Exit code 3: there is none to be had on this machine, and standard error says why.
# It must never leave a half-unpacked program where a finished one is looked for.
set -eu
if command -v prometheus; then
	exit 0
fi
cache=${XDG_CACHE_HOME:-$HOME/.cache}/oauthcc-operator/consumers
finished=$cache/prometheus

if [ ! -x "$finished" ]; then
	for program in apt-get dpkg-deb; do
		command -v "$program" >/dev/null || {
			echo "prometheus is not on PATH, and without $program it can't be got from a package" >&2
			exit 3
		}
	done
	echo "Getting Prometheus from its Debian package, once (5 s, then kept in $cache)" >&2
	mkdir -p "$cache"
	building=$(mktemp -d "$cache/building.XXXXXX")
	trap 'rm -rf "$building"' EXIT
	trap 'exit 130' INT TERM # Then the line above runs too, in every sh.
	cd "$building"
	# Where the machine has no lists of packages, or old ones: into a directory of our own, so that no rights are
	# needed and the machine's own lists stay as they are.
	mkdir -p lists/partial archives/partial
	fresh() {
		apt-get -o "Dir::State::Lists=$building/lists" -o "Dir::Cache=$building" \
			-o "Dir::Cache::Archives=$building/archives" -qq "$@" >&2
	}
	apt-get download -qq prometheus >&2 || { fresh update && fresh download prometheus; } || {
		echo "prometheus is not on PATH, and apt-get could not get its package; its words are above" >&2
		exit 3
	}
	dpkg-deb --fsys-tarfile prometheus_*.deb | tar -xf - ./usr/bin/prometheus
	usr/bin/prometheus --version >/dev/null 2>&1 || {
		echo "the prometheus of the package does not run on this machine" >&2
		exit 3
	}
	mv usr/bin/prometheus "$finished"
fi
echo "$finished"
