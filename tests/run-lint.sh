#!/usr/bin/env bash
# Everything that reads without running: YAML, Ansible (profile production), shell, changelog, generated tables.
# shellcheck source=tests/env.sh
source "$(dirname "$0")/env.sh"

failed=0
check() { # check NAME COMMAND...
  step "$1"
  shift
  "$@" || failed=1
}

shell_files() {
  git ls-files --cached --others --exclude-standard 2>/dev/null | while read -r file; do
    if [ -f "$file" ] && [ ! -L "$file" ] && head -n 1 "$file" | grep -qE '^#!.*\b(ba)?sh\b|^# shellcheck shell='; then echo "$file"; fi
  done
}

check yamllint yamllint --strict .
check ansible-lint ansible-lint --offline --nocolor
mapfile -t scripts < <(shell_files)
check shellcheck shellcheck --external-sources "${scripts[@]}"
check changelog antsibull-changelog lint
check "tables in the roles' READMEs" python tests/tools/role_docs.py --check
exit "$failed"
