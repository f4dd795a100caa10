#!/usr/bin/env bash
# From a bare host to the first token: site.yml, and the same by hand (apt, venv, pip, hf download, vllm serve), one after the other, each on
# a new machine of the lab. Prints the seconds of both, stage by stage, and their ratio.
#
#   tests/bench/first_deploy.sh       LAB_NAME (inferops-bench) and LAB_NETWORK (172.29.239) name a lab of its own, which is removed afterwards
#
# Caches of uv and pip are empty for both. site.yml runs first, so that what the mirror and the page cache keep serves the manual way. pip is
# given uv's lock, since it has no overrides: it is spared the resolving.
export LAB_NAME=${LAB_NAME:-inferops-bench} LAB_NETWORK=${LAB_NETWORK:-172.29.239}
# shellcheck source=tests/env.sh
source "$(dirname "$0")/../env.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"; ansible-playbook playbooks/lab_down.yml >/dev/null 2>&1 || true' EXIT
host=lab-gpu1
on_host() { ssh -F "${LAB_DIR:-.lab}/ssh/config-$LAB_NAME" "$host" "$@"; }

# new_machine: the host as it was delivered.
new_machine() {
  ansible-playbook playbooks/lab_down.yml >"$work/lab" 2>&1 && ansible-playbook playbooks/lab_up.yml >>"$work/lab" 2>&1 || { cat "$work/lab"; exit 1; }
}

# elapsed SINCE: seconds since a time in nanoseconds.
elapsed() { awk -v since="$1" -v now="$(date +%s%N)" 'BEGIN { printf "%.1f", (now - since) / 1e9 }'; }

new_machine
printf 'first deployment of %s (%s cores, load %s)\n' "$host" "$(nproc)" "$(cut -d ' ' -f 1 /proc/loadavg)"
began=$(date +%s%N)
ansible-playbook site.yml -l "$host" -e vllm_uv_cache_dir=/var/cache/inferops/uv-bench >"$work/site" </dev/null 2>&1 || { tail -n 40 "$work/site"; exit 1; }
ours=$(elapsed "$began")
printf '  site.yml  %7.1f s   %s\n' "$ours" "$(grep '^seconds:' "$work/site")"

# What the manual way is to end with: the same versions and the same arguments.
on_host 'cat /opt/inferops/releases/*/requirements.lock' >"$work/requirements.lock"
ansible-playbook playbooks/plan.yml -l "$host" -e plan_output="$work/plan.json" >/dev/null
python - "$work" "$LAB_NETWORK" <<'PY'
import json
import shlex
import sys

import yaml

work, network = sys.argv[1:]
with open(f"{work}/plan.json", encoding="utf-8") as file:
    host = json.load(file)["hosts"]["lab-gpu1"]
with open("roles/host/defaults/main.yml", encoding="utf-8") as file:
    packages = yaml.safe_load(file)["host_packages"]
service = host["services"][0]
arguments = [word for word in service["argv"] if word not in (service["argv"][0], "serve", service["weights_path"])]
with open(f"{work}/settings", "w", encoding="utf-8") as file:
    for name, value in {
        "REPO": service["repo"], "REVISION": host["weights"][0]["revision"], "MODEL": service["served_model_name"], "PORT": str(service["port"]),
        "HF_ENDPOINT": f"http://{network}.10:8080", "WHEELS": f"http://{network}.10:8080/wheels/", "PIP_INDEX_URL": host["releases"][0]["index"]["index_url"],
        "ARGUMENTS": shlex.join(arguments), "PACKAGES": " ".join(packages),
    }.items():
        file.write(f"{name}={shlex.quote(value)}\n")
PY

new_machine
scp -q -r -F "${LAB_DIR:-.lab}/ssh/config-$LAB_NAME" "$work/requirements.lock" "$work/settings" "${LAB_DIR:-.lab}/ca" tests/bench/first_deploy_manual.sh "$host:"
began=$(date +%s%N)
on_host sudo bash first_deploy_manual.sh >"$work/manual" </dev/null 2>&1 || { tail -n 40 "$work/manual"; exit 1; }
manual=$(elapsed "$began")
printf '  by hand   %7.1f s   %s\n' "$manual" "$(grep '^seconds:' "$work/manual")"
awk -v ours="$ours" -v manual="$manual" 'BEGIN { printf "  ratio     %7.2f\n", ours / manual }'
