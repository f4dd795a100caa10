#!/usr/bin/env bash
# Every scenario under molecule/, or those named, each in a lab of its own name and network: a lab in use is left alone.
# What takes long to make (images, wheels, models, package caches) is kept in .lab between scenarios and runs.
# shellcheck source=tests/env.sh
source "$(dirname "$0")/env.sh"

export LAB_NAME=${LAB_NAME:-inferops-test} LAB_NETWORK=${LAB_NETWORK:-172.29.236}
export MOLECULE_GLOB="$ROOT/molecule/*/molecule.yml" NO_COLOR=1 PY_COLORS=0

if [ $# -gt 0 ]; then scenarios=("$@"); else mapfile -t scenarios < <(cd molecule && for file in */molecule.yml; do dirname "$file"; done); fi
for scenario in "${scenarios[@]}"; do
  check "molecule $scenario" molecule test --scenario-name "$scenario"
done
finish
