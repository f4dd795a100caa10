#!/usr/bin/env bash
# Every test. The suites without a lab run one after the other beside molecule, which waits for machines more than it computes; what they
# print follows its output. A suite that fails does not keep the others from running.
# shellcheck source=tests/env.sh
source "$(dirname "$0")/env.sh"

logs=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$logs"' EXIT

# without_a_lab: runs the suites, each into a log and a file with its status and seconds.
without_a_lab() {
  local suite began status
  for suite in lint unit sanity awx; do
    began=$SECONDS status=0
    "tests/run-$suite.sh" >"$logs/$suite" 2>&1 || status=$?
    echo "$status $((SECONDS - began))" >"$logs/$suite.status"
  done
}

# shown SUITE STATUS: what a suite has printed, and how it ended.
shown() {
  cat "$logs/$1"
  return "$2"
}

without_a_lab &
beside=$!
check "suite: molecule" tests/run-molecule.sh
wait "$beside"
for suite in lint unit sanity awx; do
  read -r status seconds <"$logs/$suite.status"
  check "suite: $suite, $seconds s beside molecule" shown "$suite" "$status"
done
finish
