#!/usr/bin/env bash
# How long a site.yml takes that finds nothing to do, and where the seconds go.
#
#   tests/bench/second_run.sh [RUNS] [PATTERN]     RUNS: 3; PATTERN: the hosts, as for ansible-playbook -l: qwen235b
#
# Runs against the lab that is up (`make demo`, or any inventory through ANSIBLE_INVENTORY) for one host of the pattern, and
# for all of them when there are more. Prints seconds of each run, and of each task in the fastest one.
# shellcheck source=tests/env.sh
source "$(dirname "$0")/../env.sh"

runs=${1:-3} pattern=${2:-qwen235b}
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# bench LIMIT: times RUNS runs and shows the tasks of the fastest.
bench() {
  local run began ended best=
  for run in $(seq "$runs"); do
    began=$(date +%s%N)
    if ! ANSIBLE_CALLBACKS_ENABLED=ansible.posix.profile_tasks PROFILE_TASKS_TASK_OUTPUT_LIMIT=all \
      ansible-playbook site.yml -l "$1" >"$logs/$run" </dev/null 2>&1; then
      tail -n 40 "$logs/$run"
      return 1
    fi
    ended=$(date +%s%N)
    printf '  run %d: %6.2f s   %s\n' "$run" "$(((ended - began) / 10000000))e-2" "$(grep -oE 'changed=[0-9]+' "$logs/$run" | sort | uniq -c | xargs)"
    if [ -z "$best" ] || [ $((ended - began)) -lt "$best" ]; then
      best=$((ended - began))
      cp "$logs/$run" "$logs/best"
    fi
  done
  sed -n '/^=\{10,\}/,$p' "$logs/best"
}

mapfile -t hosts < <(ansible "$pattern" --list-hosts | sed '1d; s/^ *//')
printf '1 host (%s)\n' "${hosts[0]}"
bench "${hosts[0]}"
if [ "${#hosts[@]}" -gt 1 ]; then
  printf '%d hosts\n' "${#hosts[@]}"
  bench "$pattern"
fi
