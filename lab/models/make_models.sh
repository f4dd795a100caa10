#!/usr/bin/env bash
# Make the tiny models that are missing: make_models.sh OUT PYTHON CATALOGUE [NAME...]. OUT is the lab's folder, a NAME is an
# entry of the catalogue; without any, all of them.
#
# torch and transformers are needed only for this and live in a venv of their own, made only when a model is missing and
# thrown away afterwards.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$1
python=$2
catalogue=$3
names=("${@:4}")
uv=$(dirname "$python")/uv
venv=$out/model-maker

status=0
"$python" "$here/make_tiny_models.py" --check --catalogue "$catalogue" --out "$out/models" --only "${names[@]}" >/dev/null || status=$?
# 3: some are missing. Anything else is an error that has been told.
[ "$status" -eq 3 ] || exit "$status"

. "$here/../../scripts/lib.sh"
use_pip_settings "$python"
# The hosts' torch, if the wheelhouse has it and this Python can use it; else PyTorch's CPU index.
torch=(torch==2.13.0+cpu --find-links "$out/wheels")
echo "installing torch and transformers for the model maker" >&2
rm -rf "$venv"
"$uv" venv --quiet --python "$python" "$venv"
"$uv" pip install --quiet --python "$venv/bin/python" --requirement "$here/requirements.txt" "${torch[@]}" 2>/dev/null \
    || "$uv" pip install --quiet --python "$venv/bin/python" --requirement "$here/requirements.txt" \
        torch==2.13.0 --torch-backend cpu >&2
HF_HUB_OFFLINE=1 HF_HUB_DISABLE_PROGRESS_BARS=1 TQDM_DISABLE=1 \
    "$venv/bin/python" "$here/make_tiny_models.py" --catalogue "$catalogue" --out "$out/models" --only "${names[@]}" | sed 's/^/made /' >&2
rm -rf "$venv"
