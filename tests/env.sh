# shellcheck shell=bash
# What every test script starts with: the checkout as working directory, the tools of its virtual environment first on the
# path, an Ansible that talks to nobody and injects no facts as variables, and a way to count what passed.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
VENV=${VENV:-$ROOT/.venv}
[ -x "$VENV/bin/ansible-playbook" ] || { echo "No tools in $VENV: run 'make setup' first, or name another environment in VENV." >&2; exit 2; }
export VENV PATH="$VENV/bin:$PATH"
export ANSIBLE_CONFIG="$ROOT/ansible.cfg" ANSIBLE_NOCOLOR=1 ANSIBLE_INJECT_FACT_VARS=false ANSIBLE_GALAXY_DISPLAY_PROGRESS=false
# Bytecode is kept aside, for each start of Ansible and for the tests themselves, and stays out of the checkout.
unset PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX="$ROOT/.cache/pycache"
# Reports of runs stay out of this user's home.
export XDG_STATE_HOME="${XDG_STATE_HOME:-$ROOT/.cache/state}"
# Packed modules are kept from run to run (tests/callback_plugins/kept_modules.py).
export ANSIBLE_CALLBACK_PLUGINS="$ROOT/tests/callback_plugins"

passed=0 failed=() skipped=()

# check NAME COMMAND...: runs the command under a heading, times it, remembers how it went and goes on.
check() {
  local name=$1 began=$SECONDS
  shift
  printf '\n== %s\n' "$name"
  if "$@"; then
    passed=$((passed + 1))
    printf -- '-- %s: passed in %d s\n' "$name" $((SECONDS - began))
  else
    failed+=("$name")
    printf -- '-- %s: FAILED after %d s\n' "$name" $((SECONDS - began))
  fi
}

# skip NAME REASON: says loudly what was not tested.
skip() {
  skipped+=("$1")
  printf '\n!! %s: SKIPPED: %s\n' "$1" "$2"
}

# finish: the closing line; exits 1 when anything failed.
finish() {
  printf '\n'
  for name in "${failed[@]}"; do printf 'failed: %s\n' "$name"; done
  for name in "${skipped[@]}"; do printf 'skipped: %s\n' "$name"; done
  printf '%d passed, %d failed, %d skipped\n' "$passed" "${#failed[@]}" "${#skipped[@]}"
  [ "${#failed[@]}" -eq 0 ]
  exit
}
