#!/usr/bin/env bash
# Mutation tests, outside of CI: which wrong line would no test see?
#
#   tests/run-mutation.sh [ARGUMENT...]      a sample of mutants of the plan's checks and the supervisor: tests/mutation/sample.py
#   tests/run-mutation.sh roles [ARGUMENT...]  lines of effect of the roles, one removed at a time: tests/mutation/roles.py
# shellcheck source=tests/env.sh
source "$(dirname "$0")/env.sh"

if [ "${1:-}" = roles ]; then
  shift
  exec python tests/mutation/roles.py "$@"
fi
stamp=.cache/mutation/requirements.txt
if ! cmp -s tests/requirements-mutation.txt "$stamp"; then
  rm -rf .cache/mutation
  python -m pip install --quiet --disable-pip-version-check --target .cache/mutation -r tests/requirements-mutation.txt
  cp tests/requirements-mutation.txt "$stamp"
fi

exec python tests/mutation/sample.py "$@"
