#!/usr/bin/env bash
# Unit tests: the plan, the plugins, and what the roles say about themselves. Takes pytest's arguments. Half of their time they wait for timeouts, so
# two workers (WORKERS) take them from one queue, also beside another suite.
# shellcheck source=tests/env.sh
source "$(dirname "$0")/env.sh"
exec python -m pytest -q -p no:cacheprovider -n "${WORKERS:-2}" --dist worksteal tests/unit "$@"
