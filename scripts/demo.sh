#!/usr/bin/env bash
# From a fresh clone to a model that answers: setup, lab, site.yml, client. A second run changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

network=${LAB_NETWORK:-172.29.235}
name=${LAB_NAME:-inferops-lab}
url=http://$network.11:8001
export ANSIBLE_CONFIG=$PWD/ansible.cfg
[ ! -t 1 ] || export ANSIBLE_FORCE_COLOR=1

stages=()
began=$SECONDS
stage_began=$SECONDS
# stage_done NAME: note how long the stage took that ends here.
stage_done() {
    stages+=("$(printf '%-16s %4d s' "$1" $((SECONDS - stage_began)))")
    stage_began=$SECONDS
}

scripts/setup.sh
scripts/engine.sh
PATH=$PWD/.venv/bin:$PATH
stage_done setup

say "ansible-playbook playbooks/lab_up.yml"
ansible-playbook playbooks/lab_up.yml
stage_done lab

say "ansible-playbook site.yml -l qwen235b"
ansible-playbook site.yml -l qwen235b
stage_done site.yml

say "scripts/demo_client.py $url/v1"
.venv/bin/python scripts/demo_client.py "$url/v1"
stage_done client

ssh="ssh -F .lab/ssh/config-$name lab-gpu1"
cat <<EOF

Look at it
  $ssh systemctl status vllm-qwen3-235b
  $ssh systemctl cat vllm-qwen3-235b
  $ssh sudo journalctl -u vllm-qwen3-235b -n 50
  curl -s $url/v1/models
  curl -s $url/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{"model": "qwen3-235b", "messages": [{"role": "user", "content": "Hello"}]}'

Go on
  . .venv/bin/activate
  \$EDITOR inventories/lab/group_vars/qwen235b.yml     what is served
  ansible-playbook site.yml -l qwen235b --check --diff
  inventories/example_single                          a host of your own

Tear down
  make lab-down

Where the time went
EOF
printf '  %s\n' "${stages[@]}"
printf '  %-16s %4d s\n' total $((SECONDS - began))
