#!/usr/bin/env bash
# Every test, in two lanes side by side: two long scenarios of molecule, and everything else. Both wait for machines
# about as much as they compute. Each scenario has a lab of its own; what the second lane prints follows the output of the first.
# A suite that fails does not keep the others from running.
# shellcheck source=tests/env.sh
source "$(dirname "$0")/env.sh"

# As long as everything else together. A scenario that is new goes with everything else, until it is named here.
engines=(releases two_node)

logs=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$logs"' EXIT

mapfile -t others < <(cd molecule && printf '%s\n' */molecule.yml | sed 's,/.*,,' | grep -vxF "$(printf '%s\n' "${engines[@]}")")

# lane: runs each suite of the second lane, with its output in a file, and its status and seconds in another.
lane() {
  local suite began status
  for suite in lint unit "molecule ${others[*]}" sanity awx; do
    began=$SECONDS status=0
    # shellcheck disable=SC2086  # a suite and its arguments
    LAB_NAME=inferops-test2 LAB_NETWORK=172.29.237 run $suite >"$logs/${suite%% *}" 2>&1 || status=$?
    echo "$status $((SECONDS - began))" >"$logs/${suite%% *}.status"
  done
}

# run SUITE ARGUMENTS...: one of the scripts beside this one.
run() {
  local suite=$1
  shift
  "tests/run-$suite.sh" "$@"
}

# shown SUITE STATUS: what a suite has printed, and how it ended.
shown() {
  cat "$logs/$1"
  return "$2"
}

lane &
second=$!
check "suite: molecule ${engines[*]}" run molecule "${engines[@]}"
wait "$second"
for suite in lint unit molecule sanity awx; do
  read -r status seconds <"$logs/$suite.status"
  check "suite: $suite, $seconds s in the second lane" shown "$suite" "$status"
done
finish
