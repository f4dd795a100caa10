#!/usr/bin/env bash
# The manual way from a bare host to the first token; run on the host by first_deploy.sh, which leaves `settings`, `requirements.lock` and `ca` here.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=/dev/null
source ./settings
export HF_ENDPOINT DEBIAN_FRONTEND=noninteractive HF_HUB_DISABLE_TELEMETRY=1 VLLM_CPU_KVCACHE_SPACE=1 VLLM_NO_USAGE_STATS=1
[ -z "$PIP_INDEX_URL" ] && unset PIP_INDEX_URL || export PIP_INDEX_URL
report=
# stage NAME COMMAND...: runs it and notes its seconds.
stage() {
  local name=$1 began
  shift
  began=$(date +%s%N)
  "$@"
  report="$report, $name $(awk -v since="$began" -v now="$(date +%s%N)" 'BEGIN { printf "%.1f", (now - since) / 1e9 }')"
}

packages() {
  apt-get update
  # shellcheck disable=SC2086  # words
  apt-get install --yes --no-install-recommends $PACKAGES
  # The site's authorities, for the index.
  cp ca/*.crt /usr/local/share/ca-certificates/ 2>/dev/null || true
  update-ca-certificates
}

install() {
  local host=${WHEELS#http://}
  python3 -m venv /opt/vllm
  PIP_CERT=/etc/ssl/certs/ca-certificates.crt /opt/vllm/bin/pip install --no-cache-dir --no-deps --find-links "$WHEELS" \
    --trusted-host "${host%%:*}" --requirement requirements.lock
}

serve() {
  # shellcheck disable=SC2086  # words
  eval "/opt/vllm/bin/vllm serve /opt/model $ARGUMENTS" >engine.log 2>&1 &
  local engine=$!
  until curl --silent --fail --max-time 5 --output /dev/null "http://127.0.0.1:$PORT/health"; do
    kill -0 "$engine" || { tail -n 40 engine.log; return 1; }
    sleep 1
  done
}

first_token() {
  curl --silent --show-error --fail "http://127.0.0.1:$PORT/v1/chat/completions" --header 'Content-Type: application/json' \
    --data '{"model": "'"$MODEL"'", "max_tokens": 16, "messages": [{"role": "user", "content": "Say one word."}]}'
}

stage packages packages
stage pip install
stage download /opt/vllm/bin/hf download "$REPO" --revision "$REVISION" --local-dir /opt/model
stage start serve
stage 'first token' first_token
kill %1
printf '\nseconds: %s\n' "${report#, }"
