#!/bin/sh
# Gets Keycloak with Maven, once, prepares it for a fast start in the user's cache, and prints its directory.
# Progress goes to standard error.
# It must never leave a half-prepared directory where a finished one is looked for.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
version=26.7.3

java=${JAVA_HOME:+$JAVA_HOME/bin/}java
release=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p') || release=
if [ "${release:-0}" -lt 17 ]; then
	echo "missing: Java 17 or later (found: ${release:-none}); it runs Keycloak. Get it with 'apt-get install openjdk-17-jre-headless' or 'dnf install java-21-openjdk-headless', or set JAVA_HOME." >&2
	exit 1
fi

sum=$(cksum <"$here/fetch.sh" | cut -d ' ' -f 1)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/oauthcc-operator/keycloak
finished=$cache/$version-$sum

if [ -d "$finished" ]; then
	echo "$finished"
	exit 0
fi

if ! command -v mvn >/dev/null 2>&1; then
	echo "missing: mvn; it gets Keycloak $version. Get Maven with 'apt-get install maven' or 'dnf install maven'." >&2
	exit 1
fi

mkdir -p "$cache"
# Two runs at once get it once: the second waits for the first.
if command -v flock >/dev/null 2>&1 && [ -z "${OAUTHCC_KEYCLOAK_LOCKED:-}" ]; then
	OAUTHCC_KEYCLOAK_LOCKED=1 exec flock "$cache/lock" "$here/fetch.sh"
fi

building=$(mktemp -d "$cache/building.XXXXXX")
trap 'rm -rf "$building"' EXIT
trap 'exit 130' INT TERM # Then the line above runs too, in every sh.
started=$(date +%s)
echo "Getting Keycloak $version with Maven and preparing it, once (177 MB and about 30 s on 2 cores, then kept in $cache)" >&2

# Outside the work tree, and with no settings but the user's: they say where Maven asks.
cd "$building"
mvn --batch-mode --quiet --strict-checksums dependency:copy \
	-Dartifact="org.keycloak:keycloak-quarkus-dist:$version:zip" -DoutputDirectory="$building" >&2 || {
	echo "mvn could not get org.keycloak:keycloak-quarkus-dist:$version:zip; its words are above" >&2
	exit 1
}
archive=$building/keycloak-quarkus-dist-$version.zip
if command -v unzip >/dev/null 2>&1; then
	unzip -q "$archive"
elif command -v python3 >/dev/null 2>&1; then
	python3 -m zipfile -e "$archive" .
else
	"${java%java}jar" xf "$archive" || {
		echo "missing: a program that unpacks zip files. Get unzip ('apt-get install unzip'), Python 3 or a JDK, which has jar." >&2
		exit 1
	}
fi
# Neither Python nor jar keeps the executable bit.
chmod +x "keycloak-$version/bin/kc.sh"

# The user's settings for another Keycloak are not for this one.
for name in $(env | sed -n 's/^\(KC_[A-Z0-9_]*\)=.*/\1/p'); do
	unset "$name"
done

# What can only be chosen here, not at the start: with it a server is up in 14 s, with start-dev in 36 s.
# dev-mem: the database is in the server's memory, so runs share nothing.
"keycloak-$version/bin/kc.sh" build --db=dev-mem --https-client-auth=request \
	--features=client-auth-federated,kubernetes-service-accounts >&2
mv "keycloak-$version" "$finished"
echo "  done in $(($(date +%s) - started)) s" >&2
echo "$finished"
