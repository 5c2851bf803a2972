//go:build tools

// Package tools names the command that build.sh builds, so that `go mod tidy`
// keeps exactly its dependencies.
package tools

import _ "helm.sh/helm/v4/cmd/helm"
