#!/usr/bin/env bash
# From an empty directory to a verified release: uv with an empty cache, uv again, plain pip; then a run of the roles that builds nothing.
#
#   tests/bench/release_build.sh [HOST]     HOST: lab-gpu1, a host of the lab that serves (`make demo`)
#
# The three builds run on the host itself, one after the other, in a scratch folder (see release_build.py).
# shellcheck source=tests/env.sh
source "$(dirname "$0")/../env.sh"

host=${1:-lab-gpu1}
on_host() { ssh -F "${LAB_DIR:-.lab}/ssh/config-${LAB_NAME:-inferops-lab}" "$host" "$@"; }

printf 'build of a release, on %s (%s cores, load %s)\n' "$host" "$(on_host nproc)" "$(on_host cut -d "' '" -f1 /proc/loadavg)"
on_host sudo python3 - <tests/bench/release_build.py

since=$(on_host date +%s)
began=$(date +%s%N)
ansible-playbook site.yml -l "$host" </dev/null 2>/dev/null | grep -E 'changed=' | sed 's/^/  /'
printf '  %-20s %7.1f s, units of builds started meanwhile: %s\n' 'site.yml again' \
  "$((($(date +%s%N) - began) / 100000000))e-1" "$(on_host sudo journalctl --quiet --no-pager --since="@$since" --unit="'inferops-release-*'" | wc -l)"
