# The tools that check this repository, pinned. They are not in go.mod, because
# the product does not depend on them; docs/adr/0012-tools-pinned.md says more.
GOLANGCI_LINT_VERSION := v2.15.0
GOVULNCHECK_VERSION   := v1.8.0
