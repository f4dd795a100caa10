#!/usr/bin/env bash
# Everything that reads without running: YAML, Ansible (profile production), shell, changelog, generated tables.
# shellcheck source=tests/env.sh
source "$(dirname "$0")/env.sh"

# Shell scripts, by their first line: those that git tracks and those that it would.
shell_files() {
  git ls-files --cached --others --exclude-standard | while read -r file; do
    if [ -f "$file" ] && [ ! -L "$file" ] && head -n 1 "$file" | grep -qaE '^#!.*\b(ba)?sh\b|^# shellcheck shell='; then echo "$file"; fi
  done
}

mapfile -t scripts < <(shell_files)
check yamllint yamllint --strict .
# ansible-lint overlooks the collections_path of ansible.cfg.
check ansible-lint env ANSIBLE_COLLECTIONS_PATH="$ROOT/collections" ansible-lint --offline --nocolor
check shellcheck shellcheck --severity=warning --external-sources "${scripts[@]}"
check changelog antsibull-changelog lint
check "tables in the roles' READMEs" python tests/tools/role_docs.py --check
check "what the plan holds" python tests/tools/plan_docs.py --check
check "table of models" python tests/tools/model_docs.py --check
check "table of metrics" python tests/tools/metrics_docs.py --check
check "table of alerts" python tests/tools/alert_docs.py --check
check dashboards python tests/tools/make_dashboards.py --check
finish
