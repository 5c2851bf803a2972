#!/bin/sh
# Prints charts/install.yaml as it should be: the chart with its default values in namespace oauthcc-system,
# the namespace before it, without what only a Helm release needs.
# It must never depend on a cluster or on the version of Helm.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
helm=$("$top/tests/helm/build.sh")

# An older Helm takes an older Kubernetes for granted than the chart wants, hence --kube-version.
rendered=$("$helm" template oauthcc-operator "$top/charts/oauthcc-operator" --namespace oauthcc-system \
	--kube-version 1.33.0 --set crds.keep=false)

cat <<'EOF'
# oauthcc-operator: everything that a cluster needs, for `kubectl apply --server-side -f`.
# Generated from charts/oauthcc-operator by `make manifests`; edit the chart, not this file.
#
# `kubectl delete -f` with this file deletes the CustomResourceDefinition too, and with it every
# OAuthClientCredential and every managed Secret. To remove the operator and keep those:
#   kubectl delete -f install.yaml -l 'app.kubernetes.io/component!=crd'
---
apiVersion: v1
kind: Namespace
metadata:
  name: oauthcc-system
  labels:
    app.kubernetes.io/name: oauthcc-operator
    app.kubernetes.io/component: controller
    pod-security.kubernetes.io/enforce: restricted
EOF
# Blank lines before a separator differ between versions of Helm.
echo "$rendered" | sed \
	-e '/^# Source: /d' \
	-e '/^ *app.kubernetes.io\/managed-by: Helm$/d' \
	-e '/^ *helm.sh\/chart: /d' |
	awk '/^$/ { blank++; next } /^---$/ { blank = 0 } { while (blank > 0) { print ""; blank-- } print }'
