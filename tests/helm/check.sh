#!/bin/sh
# Fails where a generated manifest is not what its source makes it, and says how; lints the chart and renders it
# with every value set. Nothing is written.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
chart=$top/charts/oauthcc-operator
helm=$("$top/tests/helm/build.sh")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
kubernetes=1.33.0 # the oldest that the chart wants, whatever this Helm takes for granted
failed=0

same() { # what it should be, what it is, its name
	if ! diff -u --label "$3 (committed)" --label "$3 (generated)" "$2" "$1" >"$work/diff"; then
		echo "$3 is out of date: run 'make manifests' and commit what it changes" >&2
		cat "$work/diff" >&2
		failed=1
	fi
}

refused() { # what is tried, then the arguments of helm template
	what=$1
	shift
	if "$helm" template oauthcc-operator "$chart" --kube-version "$kubernetes" "$@" >/dev/null 2>&1; then
		echo "the chart accepts $what, and should refuse it" >&2
		failed=1
	fi
}

same "$top/crds/oauthclientcredentials.oauthcc.dev.yaml" "$chart/files/crd.yaml" charts/oauthcc-operator/files/crd.yaml
"$top/tests/helm/render.sh" >"$work/install.yaml"
same "$work/install.yaml" "$top/charts/install.yaml" charts/install.yaml

"$helm" lint --strict --quiet --kube-version "$kubernetes" "$chart" >"$work/lint" 2>&1 || {
	cat "$work/lint" >&2
	failed=1
}
"$helm" template other "$chart" --namespace elsewhere --kube-version "$kubernetes" --values "$top/tests/helm/every-value.yaml" >"$work/every" || failed=1
for expected in \
	'image: "registry.example.com/oauthcc-operator@sha256:' \
	'value: "idp.example.com,login.example.com:8443"' \
	'value: "/etc/oauthcc/trust-bundle/corp.pem"' \
	'name: "corp-proxy"' \
	'name: other-oauthcc-operator-authors' \
	"['idp.example.com:443', 'login.example.com:8443', '2001:db8::1:443']" \
	'example.com/e: f' \
	'name: other-oauthcc-operator-metrics'; do
	grep -qF "$expected" "$work/every" || {
		echo "the chart with tests/helm/every-value.yaml lacks: $expected" >&2
		failed=1
	}
done
if grep -qF "resources: [serviceaccounts/token]" "$work/every"; then
	echo "the chart with serviceAccountTokens: false lets the operator make tokens" >&2
	failed=1
fi
grep -qF "resources: [serviceaccounts/token]" "$work/install.yaml" || {
	echo "the chart with its default values lacks: serviceaccounts/token" >&2
	failed=1
}
if grep -qF ValidatingAdmissionPolicy "$work/install.yaml"; then
	echo "the chart with its default values holds an admission policy" >&2
	failed=1
fi
refused "a setting that does not exist" --set settings.no-such-flag=1
refused "a value that does not exist" --set replicas=2
refused "a switch that is neither true nor false" --set serviceAccountTokens=some
refused "an admission policy that asks nothing" --set admissionPolicy.enabled=true --set admissionPolicy.requireSecretAccess=false
refused "a URL as a host" --set admissionPolicy.enabled=true --set 'admissionPolicy.allowedTokenHosts={https://idp.example.com}'
refused "no ServiceAccount at all" --set serviceAccount.create=false

[ "$failed" = 0 ] && echo "The chart and its generated manifests are up to date." >&2
exit "$failed"
