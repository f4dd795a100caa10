#!/usr/bin/env bash
# Every test: suites that three workers take from one queue, the longest first, so that all end at about the same time. Each worker has a
# lab of its own. Two labs would leave a sixth of two processors idle, while a test waits for a timeout. Suites without a lab run
# with a lower priority, since nothing in them is timed against a lab. What a suite prints follows whole once it has ended. A suite that
# fails does not keep the others from running. The last lines say how long each took, and again what failed.
#
#   tests/run-all.sh [SUITE...]       those suites alone, as "molecule weights"
# shellcheck source=tests/env.sh
source "$(dirname "$0")/env.sh"

# By what they take, the longest first. A scenario that is new comes before all of them, until it is named here.
suites=(
  "molecule multi_node" "molecule default" "molecule two_node" "molecule weights_share" "molecule model_service" "molecule monitoring" sanity "molecule host_tuning"
  "molecule tasks" "molecule weights" unit "molecule cuda" "molecule vllm" "molecule host" awx lint "molecule kernel" "molecule firewall" "molecule verify"
  "molecule weights_mirror" "molecule plan"
)
for file in molecule/*/molecule.yml; do
  scenario=${file#molecule/} scenario=${scenario%/molecule.yml}
  case " ${suites[*]} " in
    *" molecule $scenario "*) ;;
    *) suites=("molecule $scenario" "${suites[@]}") ;;
  esac
done
if [ $# -gt 0 ]; then
  # In the order above, whatever the order of the arguments.
  asked=$(printf '%s\n' "$@") chosen=()
  for suite in "${suites[@]}"; do
    if grep -qxF "$suite" <<<"$asked"; then chosen+=("$suite"); fi
  done
  [ "${#chosen[@]}" -eq $# ] || { printf 'The suites are:\n'; printf '  %s\n' "${suites[@]}"; exit 2; } >&2
  suites=("${chosen[@]}")
fi

work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
echo 0 >"$work/next"

# take: the number of the next suite, which nobody else gets.
take() {
  local number
  {
    flock 9
    read -r number <"$work/next"
    echo $((number + 1)) >"$work/next"
  } 9>"$work/lock"
  echo "$number"
}

# worker NUMBER: takes suites until none is left; of each it prints the output and leaves the status.
worker() {
  local number suite began status
  export LAB_NAME=inferops-test$1 LAB_NETWORK=172.29.$((235 + $1))
  while number=$(take) && [ "$number" -lt "${#suites[@]}" ]; do
    suite=${suites[number]} began=$SECONDS status=0
    # shellcheck disable=SC2086  # a suite and its arguments
    run $suite >"$work/$number.log" 2>&1 || status=$?
    {
      flock 9
      printf '\n== suite: %s\n' "$suite"
      cat "$work/$number.log"
      printf -- '-- suite: %s: status %d after %d s, %d s since the beginning\n' "$suite" "$status" $((SECONDS - began)) "$SECONDS"
    } 9>"$work/output"
    echo "$status" >"$work/$number.status"
    echo $((SECONDS - began)) >"$work/$number.seconds"
  done
}

# run SUITE ARGUMENTS...: one of the scripts beside this one.
run() {
  local suite=$1 priority=()
  shift
  [ "$suite" = molecule ] || priority=(nice -n 5)
  "${priority[@]}" "tests/run-$suite.sh" "$@"
}

for number in 1 2 3; do worker "$number" & done
wait
printf '\n'
for number in "${!suites[@]}"; do printf '%6s s  %s\n' "$(cat "$work/$number.seconds" 2>/dev/null || echo '?')" "${suites[number]}"; done
for number in "${!suites[@]}"; do
  if [ "$(cat "$work/$number.status" 2>/dev/null)" = 0 ]; then
    passed=$((passed + 1))
  else
    failed+=("suite: ${suites[number]}")
    printf '\n== what failed in suite: %s\n' "${suites[number]}"
    tests/tools/failures.py "$work/$number.log" || true
  fi
done
finish
