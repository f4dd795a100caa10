#!/usr/bin/env bash
# The collection on machines with a kernel of their own, one after the other. Not part of `make test`; see docs/development.md.
#
#   PART=uml|qemu, SUITE=bookworm|trixie      one kind, one release of Debian; all without them
#   TESTS=tests/lab/vm/uml/test_2_serving.py  these files alone
#   ENGINE=vllm                               vLLM itself in the place of the small engine: hours
#   KEEP=1                                     the machines stay as they are, and the last lines say how to enter them
# shellcheck source=tests/env.sh
source "$(dirname "$0")/env.sh"

read -ra parts <<<"${PART:-uml qemu}"
read -ra suites <<<"${SUITE:-bookworm trixie}"
export LAB_NAME=${LAB_NAME:-inferops-vm} LAB_NETWORK=${LAB_NETWORK:-172.29.241} LAB_DIR=$ROOT/.lab
inventory=tests/lab/vm/inventory

scripts/virtual_machines.sh "${parts[@]}"

down() { ansible-playbook -i "$inventory" playbooks/lab_down.yml "$@" >/dev/null; }

# Whatever happens, nothing stays that nobody asked for.
[ -n "${KEEP-}" ] || trap 'down || true' EXIT

# test_on HOST PART: the machine, then file by file, since each goes on from where the one before left the machine.
test_on() {
  local host=$1 before=${#failed[@]} file
  check "$host: start" ansible-playbook -i "$inventory" playbooks/lab_up.yml -l "$host"
  # What the service runs on, or with ENGINE=vllm what it is changed to later on.
  if [ "$2" = uml ] && [ "${#failed[@]}" -eq "$before" ]; then
    check "$host: the small engine's wheels" ansible-playbook -i "$inventory" lab/small_engine/copy_wheels.yml -l "$host"
  fi
  for file in ${TESTS:-tests/lab/vm/"$2"/test_*.py}; do
    if [ "${#failed[@]}" -gt "$before" ]; then
      skip "$host: $(basename "$file")" "what it goes on from failed"
    else
      VM_HOST=$host check "$host: $(basename "$file")" python -m pytest -q -x -p no:cacheprovider "$file"
    fi
  done
  if [ -n "${KEEP-}" ]; then
    printf 'enter it:  ssh -F .lab/ssh/config-%s %s\nconsole:   .lab/vm/%s/%s/console.log\npower:     lab/vm/machine.py cut|start .lab/vm/%s/%s\n' \
      "$LAB_NAME" "$host" "$LAB_NAME" "$host" "$LAB_NAME" "$host"
  else
    down -l "$host"
  fi
}

for suite in "${suites[@]}"; do
  for part in "${parts[@]}"; do test_on "$part-$suite" "$part"; done
done
[ -z "${KEEP-}" ] || printf 'remove all: LAB_NAME=%s LAB_NETWORK=%s ansible-playbook -i %s playbooks/lab_down.yml\n' "$LAB_NAME" "$LAB_NETWORK" "$inventory"
finish
