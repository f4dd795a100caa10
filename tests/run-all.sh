#!/usr/bin/env bash
# Every test, from fast to slow. A suite that fails does not keep the others from running.
# shellcheck source=tests/env.sh
source "$(dirname "$0")/env.sh"

for suite in lint unit sanity molecule; do
  check "suite: $suite" "tests/run-$suite.sh"
done
finish
