#!/usr/bin/env bash
# Every scenario under molecule/, or those named, each in a lab of its own name and network: a lab in use is left alone.
# What takes long to make (images, wheels, models, package caches) is kept in .lab between scenarios and runs.
#
#   tests/run-molecule.sh [SCENARIO...]         KEEP=1 leaves the machines of a scenario that fails up, and prints how to enter and remove them
#   tests/run-molecule.sh --destroy SCENARIO    removes them
# shellcheck source=tests/env.sh
source "$(dirname "$0")/env.sh"

export LAB_NAME=${LAB_NAME:-inferops-test} LAB_NETWORK=${LAB_NETWORK:-172.29.236}
export MOLECULE_GLOB="$ROOT/molecule/*/molecule.yml" NO_COLOR=1 PY_COLORS=0

mapfile -t known < <(cd molecule && for file in */molecule.yml; do dirname "$file"; done)

# list: each scenario with the first sentence of the comment that its molecule.yml starts with.
list() {
  local name
  for name in "${known[@]}"; do
    printf '  %-15s %s\n' "$name" "$(sed -n '/^#/{s/^# *//;s/\. .*$/./;p;q}' "molecule/$name/molecule.yml")"
  done
}

# kept SCENARIO: the machines that are up, and what to do with them.
kept() {
  local config=.lab/ssh/config-$LAB_NAME machine host
  printf '\nThe machines of the scenario %s are up:\n' "$1"
  while read -r machine; do
    host=${machine#"$LAB_NAME"-}
    if grep -qE "^Host (.* )?$host( |\$)" "$config" 2>/dev/null; then printf '  ssh -F %s %s\n' "$config" "$host"; fi
    printf '  docker exec -it %s bash\n' "$machine"
  done < <(docker ps --filter "label=inferops.lab=$LAB_NAME" --format '{{.Names}}' | sort)
  # molecule verify alone finds no tests: their folders are arguments of the steps.
  printf 'Run its tests again:  (cd molecule/%s && LAB_NAME=%s LAB_NETWORK=%s ../../.venv/bin/pytest%s)\n' \
    "$1" "$LAB_NAME" "$LAB_NETWORK" "$(sed -n 's/^ *- verify / /p' "molecule/$1/molecule.yml" | tr -d '\n')"
  printf 'Remove them:          LAB_NAME=%s LAB_NETWORK=%s tests/run-molecule.sh --destroy %s\n' "$LAB_NAME" "$LAB_NETWORK" "$1"
}

# With --destroy=never molecule skips every destroy: that of what an earlier run left, and that after a success. Both are called here.
run() {
  if [ -z "${KEEP:-}" ]; then
    molecule test --scenario-name "$1"
  elif molecule destroy --scenario-name "$1" && molecule test --destroy=never --scenario-name "$1"; then
    molecule destroy --scenario-name "$1"
  else
    kept "$1"
    return 1
  fi
}

command=run
if [ "${1:-}" = --destroy ]; then
  command="molecule destroy --scenario-name"
  shift
fi
if [ $# -gt 0 ]; then scenarios=("$@"); else scenarios=("${known[@]}"); fi
for scenario in "${scenarios[@]}"; do
  if [ ! -f "molecule/$scenario/molecule.yml" ]; then
    printf 'There is no scenario %s. The scenarios:\n' "${scenario:-without a name}" >&2
    list >&2
    exit 2
  fi
done
for scenario in "${scenarios[@]}"; do
  # shellcheck disable=SC2086  # a command and its arguments
  check "molecule $scenario" $command "$scenario"
done
finish
