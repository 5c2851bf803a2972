# Everything that a person or a CI job runs. `make` alone lists it.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory
SHELL := /bin/sh

CARGO ?= cargo
CRD := crds/oauthclientcredentials.oauthcc.dev.yaml
CHART := charts/oauthcc-operator
OAUTHCC := $(or $(CARGO_TARGET_DIR),target)/debug/oauthcc
STEP := @printf '==> %s\n'

# The tests on a node, or why there can be none here: target, arguments of the tests.
define ON_A_NODE
obstacle=$$(tests/node/obstacle.sh); \
if [ -n "$$obstacle" ]; then echo "skipped: make $(1), because $$obstacle"; else $(MAKE) on-a-node ARGUMENTS="$(2)"; fi
endef

##@ Try it

.PHONY: demo
demo: prerequisites binary control-plane ## Watch three tokens rotate on a real control plane; ROTATIONS=n ends after n rotations
	$(STEP) "starting the demo"
	@$(CARGO) run --quiet --locked --example demo

.PHONY: cluster
cluster: prerequisites binary control-plane ## Keep that control plane and authorization server up for hacking, and print the KUBECONFIG to export
	$(STEP) "starting the control plane and the authorization server"
	@$(CARGO) run --quiet --locked --example demo -- --cluster-only

.PHONY: run
run: binary ## Run the operator against the current kubectl context; ARGS="--log-level debug" adds flags
	@exec $(OAUTHCC) run $(ARGS)

##@ Check it

.PHONY: test
test: prerequisites control-plane check-manifests ## Run the tests, on a real control plane and a real authorization server
	$(STEP) "running the tests (building them takes about 4 minutes the first time, running them a few)"
	@$(CARGO) test --workspace --locked

# Of the workspace, so that its dependencies are those of `make test`, built with the same features.
.PHONY: test-keycloak
test-keycloak: prerequisites control-plane keycloak ## Run the operator on a real Keycloak, under a minute; needs Java 17 or later and Maven as well
	$(STEP) "running the tests on Keycloak (building them takes about 4 minutes the first time, running them under a minute)"
	@$(CARGO) test --workspace --locked --test keycloak

# Also what `.ci/run` runs, so a machine that can't is a line and no failure.
.PHONY: test-node
test-node: ## Run pods on a real kubelet that read rotating tokens, about 2 minutes; needs Linux and root
	@$(call ON_A_NODE,test-node,)

.PHONY: test-node-slow
test-node-slow: ## Measure how late a pod reads a new token by the kubelet's defaults, up to 2 minutes; needs the same
	@$(call ON_A_NODE,test-node-slow,-- --ignored)

.PHONY: lint
lint: prerequisites ## Check format, lints and the import fence of src/domain
	$(STEP) "rustfmt"
	@$(CARGO) fmt --all --check
	$(STEP) "clippy (about 3 minutes the first time)"
	@$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@$(CARGO) clippy --workspace --test keycloak --test node --locked -- -D warnings
	$(STEP) "the lock of fuzz/"
	@$(CARGO) metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null
	$(STEP) "the rules of the house"
	@$(CARGO) test --quiet --locked --test house

.PHONY: check-manifests
check-manifests: ## Compare the chart's CRD and charts/install.yaml with what they are made from
	$(STEP) "checking the manifests (a Helm is built first where there is none: about 2 minutes, once)"
	@tests/helm/check.sh

.PHONY: fuzz
fuzz: ## Fuzz the parser of answers for 60 s
	$(STEP) "fuzzing the parser of answers (building it takes about 6 minutes the first time)"
	@fuzz/run.sh 60

.PHONY: prerequisites
prerequisites: ## Check that Rust, Go, Node, npm, make and a C compiler are there
	@tests/prerequisites.sh

##@ Make it

.PHONY: build
build: ## Build the release binary, target/release/oauthcc
	$(STEP) "building the release binary (about 6 minutes the first time)"
	@$(CARGO) build --release --locked --bin oauthcc

.PHONY: manifests
manifests: binary ## Write anew what is generated: the CRD, its copy in the chart, charts/install.yaml
	$(STEP) "writing $(CRD), its copy in the chart and charts/install.yaml"
	@$(OAUTHCC) crd >$(CRD).new && mv $(CRD).new $(CRD)
	@mkdir -p $(CHART)/files && cp $(CRD) $(CHART)/files/crd.yaml
	@tests/helm/render.sh >charts/install.yaml.new && mv charts/install.yaml.new charts/install.yaml

.PHONY: clean
clean: ## Remove what was built here; the control plane stays in the user's cache
	@$(CARGO) clean
	@rm -rf tests/authorization-server/node_modules

# What the targets above stand on.

# The example is built with the binary: then cargo unifies the features of both, and of the tests, and builds
# each dependency once.
.PHONY: binary
binary:
	$(STEP) "building oauthcc (about 3 minutes the first time)"
	@$(CARGO) build --locked --bin oauthcc --example demo

.PHONY: control-plane
control-plane:
	$(STEP) "looking for the Kubernetes control plane (built from Go modules the first time: about 6 minutes)"
	@tests/control-plane/build.sh >/dev/null

.PHONY: keycloak
keycloak:
	$(STEP) "looking for Keycloak (got with Maven and prepared the first time: about half a minute)"
	@tests/keycloak/fetch.sh >/dev/null

.PHONY: node
node:
	$(STEP) "looking for a kubelet and a container runtime (built and got the first time: about a minute)"
	@tests/node/fetch.sh >/dev/null

# Of the workspace, as test-keycloak.
.PHONY: on-a-node
on-a-node: prerequisites control-plane node
	$(STEP) "running the tests on a node (building them takes about 4 minutes the first time)"
	@$(CARGO) test --workspace --locked --test node $(ARGUMENTS)

.PHONY: help
help: ## Show this help
	@awk 'BEGIN { FS = ":.*## "; print "Usage: make <target>" } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
