#!/usr/bin/env bash
# Make everything that the lab's containers are made from: prepare.sh OUT PYTHON CATALOGUE NAME IMAGES [MODEL...].
#
# OUT is the lab's folder, PYTHON the one of the project's .venv, CATALOGUE the folder of the catalogue's files (empty in a lab
# without a mirror: then no wheels and models are made), NAME the lab's name, IMAGES what its machines boot from, as
# image/build.sh names it, separated by commas, MODEL an entry of the catalogue that the mirror is to have (all without any); the lab's machines
# come on standard input (see machines/write_files.py). Steps that do not need each other run side by side. A step that finds
# its result already there says nothing; whatever the steps say is shown. The output ends with a line for each image, in
# their order: its name in the engine.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$1
python=$2
catalogue=$3
name=$4
IFS=, read -ra images <<<"$5"
names=("${@:6}")
machines=$(cat)
mkdir -p "$out/log" "$out/cache/apt" "$out/cache/uv" "$out/cache/bytecode"

# Two labs share the folder: one at a time.
exec 9>"$out/lock"
flock 9

wheels_and_models() {
    [ -n "$catalogue" ] || return 0
    "$here/wheelhouse/make_wheelhouse.sh" "$out/wheels" "$python"
    "$here/models/make_models.sh" "$out" "$python" "$catalogue" "${names[@]}"
}

# One image after the other: each keeps a core busy, and the first may have to install what both are made with.
build_images() {
    local image
    for image in "${images[@]}"; do "$here/image/build.sh" "$image"; done
}
build_images >"$out/log/image" 2>"$out/log/image.err" &
image=$!
wheels_and_models >"$out/log/wheels-and-models.err" 2>&1 &
models=$!
settings() {
    "$here/keys/make_keys.sh" "$out"
    "$python" "$here/ca/extra_ca.py" "$out/ca"
    "$python" "$here/machines/write_files.py" "$out" "$name" <<<"$machines"
}
settings >"$out/log/settings.err" 2>&1 &
settings=$!

failed=0
for step in $image $models $settings; do
    wait "$step" || failed=1
done
cat "$out"/log/*.err
[ "$failed" -eq 0 ]
cat "$out/log/image"
