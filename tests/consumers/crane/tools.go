//go:build tools

// Package tools keeps the module below in go.mod, so that its version and sums are locked.
package tools

import _ "github.com/google/go-containerregistry/cmd/crane"
