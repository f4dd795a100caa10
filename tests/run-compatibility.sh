#!/usr/bin/env bash
# Test suites of others, as they are, against a deployed service. By default that of the lab (make lab-up, ansible-playbook site.yml -l qwen235b).
# From the environment, so that no key is in a command line:
#   URL=http://gpu1:8001      another service
#   API_KEY                   its key
#   MODEL                     the model, if the service lists several (LoRA adapters)
#   EMBEDDINGS=1              the service has embeddings, not chat
# Takes names of the parts to run (chat_completions, responses, embeddings, schema); without any, all that fit the service.
# shellcheck source=tests/env.sh
source "$(dirname "$0")/env.sh"
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

SUITES="$ROOT/tests/compatibility"
OWN="$ROOT/.cache/compatibility"
if [ -z "${URL:-}" ]; then
  URL=http://${LAB_NETWORK:-172.29.235}.11:8001
  export RANDOM_WEIGHTS=${RANDOM_WEIGHTS:-1}
fi
URL=${URL%/} URL=${URL%/v1}
export OPENAI_BASE_URL=$URL/v1 OPENAI_API_KEY=${API_KEY:-none} LANGSMITH_TRACING=false PYTHONPATH=$SUITES
unset API_KEY LANGCHAIN_TRACING_V2 OPENAI_API_BASE OPENAI_ORG_ID OPENAI_PROJECT_ID

# The suites' own environment: .venv stays as it is.
install() {
  cmp -s "$SUITES/requirements.txt" "$OWN/requirements.txt" && return
  rm -rf "$OWN"
  (
    use_pip_settings "$VENV/bin/python"
    "$VENV/bin/uv" venv --quiet --python "$VENV/bin/python" "$OWN" &&
      "$VENV/bin/uv" pip install --quiet --python "$OWN/bin/python" --requirement "$SUITES/requirements.txt"
  ) && cp "$SUITES/requirements.txt" "$OWN/"
}

# The first model of the list, which must be there in any case.
model() {
  MODEL=${MODEL:-$("$OWN/bin/python" -c 'from openai import OpenAI; print(OpenAI(max_retries=0, timeout=20).models.list().data[0].id)')} || return
  export MODEL
  echo "$URL: $MODEL"
}

pytest_of() { "$OWN/bin/python" -m pytest --benchmark-storage="file://$OWN/benchmarks" "$SUITES/test_$1.py"; }

# The mode here and not in the configuration, which the command line's default overrides.
schema() {
  (cd "$SUITES" && "$OWN/bin/schemathesis" --no-color --config-file schemathesis.toml run --mode positive "$URL/openapi.json")
}

check "suites in .cache/compatibility" install
[ "${#failed[@]}" -eq 0 ] || finish
check "the service's models" model
[ "${#failed[@]}" -eq 0 ] || finish
if [ "${EMBEDDINGS:-0}" = 1 ]; then parts=(embeddings); else parts=(chat_completions responses schema); fi
[ $# -eq 0 ] || parts=("$@")
for part in "${parts[@]}"; do
  case $part in
    schema) check "answers against /openapi.json" schema ;;
    *) check "LangChain's standard tests: $part" pytest_of "$part" ;;
  esac
done
finish
