#!/usr/bin/env bash
# The answer of a minute: linters on the files that changed since the branch left main (BASE names another commit), generated tables, and the unit
# tests that these files can break, without the generated ones (make fuzz), the nearest to the change first. No test starts after WITHIN seconds
# (50; 0: no limit). ALL=1 runs every unit test, without a limit. Prints what it leaves out.
# shellcheck source=tests/env.sh
source "$(dirname "$0")/env.sh"

began=$SECONDS within=${WITHIN:-50}
[ -z "${ALL:-}" ] || within=0
mapfile -t changed < <(python tests/tools/changed.py)
# present PATTERN: the changed files that match the extended regular expression, and still exist.
present() {
  local file
  for file in "${changed[@]}"; do
    if [[ $file =~ $1 ]] && [ -f "$file" ] && [ ! -L "$file" ]; then echo "$file"; fi
  done
}
# touches PATTERN: whether a changed file matches it, deleted ones included.
touches() { printf '%s\n' "${changed[@]}" | grep -qE "$1"; }

mapfile -t yaml < <(present '\.ya?ml$' | grep -vE '^changelogs/(changelog|\.plugin-cache)\.yaml$')
# What ansible-lint reads as Ansible's own; of other YAML it says what yamllint says.
mapfile -t ansible < <(printf '%s\n' "${yaml[@]}" | grep -E '^(roles|playbooks|molecule|inventories|lab|tests/lab|meta)/|^[^/]+\.yml$' || true)
mapfile -t shell < <(present '' | while read -r file; do
  if head -n 1 "$file" | grep -qaE '^#!.*\b(ba)?sh\b|^# shellcheck shell='; then echo "$file"; fi
done)

printf '%d changed files\n' "${#changed[@]}"
if [ "${#changed[@]}" -eq 0 ] && [ -z "${ALL:-}" ]; then
  echo "Nothing to check: ALL=1 make check runs every unit test, BASE=COMMIT make check compares with another commit."
  exit 0
fi
[ "${#yaml[@]}" -eq 0 ] || check yamllint yamllint --strict "${yaml[@]}"
# It starts in 8 s and takes up to 1 s a file: a change all over the roles is for `make lint`.
if [ "${#ansible[@]}" -gt 25 ] && [ "$within" -gt 0 ]; then
  skip ansible-lint "${#ansible[@]} of its files changed, and 25 take half a minute (make lint)"
  ansible=()
fi
[ "${#ansible[@]}" -eq 0 ] || check ansible-lint env ANSIBLE_COLLECTIONS_PATH="$ROOT/collections" ansible-lint --offline --nocolor "${ansible[@]}"
[ "${#shell[@]}" -eq 0 ] || check shellcheck shellcheck --severity=warning --external-sources "${shell[@]}"
if touches '^changelogs/'; then check changelog antsibull-changelog lint; fi
if touches '^(roles|plugins|docs|tests/tools)/'; then
  check "generated tables" bash -c 'for table in role plan model; do python "tests/tools/${table}_docs.py" --check || exit 1; done'
fi

left=0 tests=(tests/unit)
if [ -z "${ALL:-}" ]; then
  selected=$(python tests/tools/affected.py "${changed[@]}")
  left=$(grep -c '^leave ' <<<"$selected" || true)
  [ "$left" -eq 0 ] || mapfile -t tests < <(sed -n 's/^run //p' <<<"$selected")
fi
# load, not worksteal: it keeps the order.
limit=()
if [ "$within" -gt 0 ]; then
  export TESTS_UNTIL=$(($(date +%s) + within - (SECONDS - began))) PYTHONPATH="$ROOT/tests/tools"
  limit=(-p time_limit)
fi
check "unit tests" python -m pytest -q -p no:cacheprovider "${limit[@]}" -n "${WORKERS:-2}" --dist load -m 'not fuzz' "${tests[@]}"
printf '\nleft out: generated tests (make fuzz)'
[ "$left" -eq 0 ] || printf ', %d files of unit tests that no changed file reaches (ALL=1 make check)' "$left"
printf ', the rules of ansible-lint that look across files (make lint), sanity, awx, molecule (make test-changed)\n%d s\n' $((SECONDS - began))
finish
