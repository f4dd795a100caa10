#!/usr/bin/env bash
# What the kernel's settings do for a burst of short connections: brings up machines as molecule/host_tuning does, runs conntrack.py
# and takes them down again, which puts back what the controller's own kernel said before.
#
#   tests/bench/conntrack.sh [CONNECTIONS]     CONNECTIONS: 20000
# shellcheck source=tests/env.sh
source "$(dirname "$0")/../env.sh"

export LAB_NAME=${LAB_NAME:-inferops-bench} LAB_NETWORK=${LAB_NETWORK:-172.29.237} LAB_DIR=${LAB_DIR:-$ROOT/.lab}
export ANSIBLE_COLLECTIONS_PATH="$ROOT/collections"
log=$(mktemp)

# play PLAYBOOK: quietly, unless it fails.
play() {
  ansible-playbook -i molecule/host_tuning/inventory "$1" >"$log" 2>&1 </dev/null || { tail -n 40 "$log"; return 1; }
}

trap 'play playbooks/lab_down.yml; rm -f "$log"' EXIT
play playbooks/lab_up.yml
play molecule/host_tuning/prepare.yml
play molecule/host_tuning/converge.yml
python tests/bench/conntrack.py "$@"
