#!/usr/bin/env bash
# The real vLLM for GPUs, installed by the roles on a bare machine of the lab and tested by compiling; then its own parser on everything
# in the catalogue. Not part of `make test`: it downloads some 5 GB, takes 20 GB of disk while it runs, and a quarter of an hour or more.
# KEEP=1 leaves the machine up.
# shellcheck source=tests/env.sh
source "$(dirname "$0")/../env.sh"

export LAB_NAME=${LAB_NAME:-inferops-cuda} LAB_NETWORK=${LAB_NETWORK:-172.29.237} LAB_DIR="$ROOT/.lab"
export MOLECULE_GLOB="$ROOT/molecule/*/molecule.yml" NO_COLOR=1 PY_COLORS=0
inventory="$ROOT/molecule/cuda/inventory"

down() { [ -n "${KEEP:-}" ] || molecule destroy --scenario-name cuda >/dev/null; }
trap down EXIT

check "machine" molecule create --scenario-name cuda
check "build" ansible-playbook -i "$inventory" molecule/cuda/converge.yml -e "@tests/gpu_release/variables.yml"
check "second run" ansible-playbook -i "$inventory" molecule/cuda/converge.yml -e "@tests/gpu_release/variables.yml"
check "release" python -m pytest -q -p no:cacheprovider -s tests/gpu_release
finish
