#!/usr/bin/env bash
# The suites that the changed files can break (tests/suites.yml), with three workers as tests/run-all.sh has them. BASE names another commit to
# compare with than the one where the branch left main; --list only prints what would run.
# shellcheck source=tests/env.sh
source "$(dirname "$0")/env.sh"
chosen=$(python tests/tools/suites.py)
[ -n "$chosen" ] || { echo "Nothing changed, so nothing to test."; exit 0; }
[ "${1:-}" != --list ] || exit 0
mapfile -t suites <<<"$chosen"
exec tests/run-all.sh "${suites[@]}"
