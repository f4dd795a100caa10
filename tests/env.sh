# shellcheck shell=bash
# What every test script starts with: the checkout as working directory, the tools of its virtual environment first on the
# path, and an Ansible that talks to nobody and injects no facts as variables.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
VENV=${VENV:-$ROOT/.venv}
[ -x "$VENV/bin/ansible-playbook" ] || { echo "No tools in $VENV: run 'make setup' first, or name another environment in VENV." >&2; exit 2; }
export PATH="$VENV/bin:$PATH"
export ANSIBLE_CONFIG="$ROOT/ansible.cfg" ANSIBLE_NOCOLOR=1 ANSIBLE_INJECT_FACT_VARS=false ANSIBLE_GALAXY_DISPLAY_PROGRESS=false
export PYTHONDONTWRITEBYTECODE=1

step() { printf '\n== %s\n' "$*"; }
