#!/usr/bin/env bash
# Unit tests: the plan, the plugins, and what the roles say about themselves. Takes pytest's arguments.
# shellcheck source=tests/env.sh
source "$(dirname "$0")/env.sh"
exec python -m pytest -q -p no:cacheprovider tests/unit "$@"
