#!/usr/bin/env bash
# The collection as a user gets it: built, installed without Galaxy, and tested with ansible-test sanity, a syntax check of
# every playbook and ansible-doc of everything documented. First with the pinned ansible-core, then with the newest one
# (with the unit tests as well), for which a Python 3.12 or newer must be on the machine. What only reads text says the same
# under both, and is asked once, of the newest that is there.
# shellcheck source=tests/env.sh
source "$(dirname "$0")/env.sh"

CACHE="$ROOT/.cache"
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
INSTALLED="$WORK/site/ansible_collections/inferops/gpu"

# real_python VERSION: the interpreter itself; pyenv's shims fail for versions that are not activated.
real_python() {
  local candidate
  for candidate in "$(command -v "python$1" || true)" "$HOME/.pyenv/versions/$1".*/bin/python"$1" "/usr/local/bin/python$1"; do
    if [ -x "$candidate" ] && "$candidate" -c '' 2>/dev/null; then echo "$candidate"; return; fi
  done
  return 1
}

# Collections that ours depends on, for an ansible-core that was installed without them.
dependencies() { "$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

# Of ansible-test: what looks at the text of files alone, by its own linters and not by ansible-core. pylint takes longer than all others.
TEXT_TESTS=(
  changelog empty-init line-endings no-assert no-get-exception no-illegal-filenames no-smart-quotes pep8 pslint pylint replace-urlopen
  shebang shellcheck symlinks use-argspec-type-path use-compat-six yamllint
)

# What is called through this sees the installed collection alone: an empty ansible.cfg, no checkout.
installed() {
  (cd "$WORK" && touch ansible.cfg && ANSIBLE_CONFIG="$WORK/ansible.cfg" ANSIBLE_COLLECTIONS_PATH="$WORK/site:$(dependencies)" "$@")
}

build() {
  ansible-galaxy collection build --output-path "$WORK/dist" "$ROOT" &&
    installed ansible-galaxy collection install --offline --no-deps -p "$WORK/site" "$WORK"/dist/inferops-gpu-*.tar.gz &&
    [ -f "$INSTALLED/MANIFEST.json" ]
}

# Only interpreters that work may be found: this environment's, and the oldest Python of the hosts where there is one.
sanity_path() { # sanity_path BIN
  local links="$WORK/pythons" oldest
  mkdir -p "$links"
  if oldest=$(real_python 3.9); then ln -sf "$oldest" "$links/python3.9"; fi
  echo "$1:$links:/usr/local/bin:/usr/bin:/bin"
}

# sanity BIN [ARGUMENT...]: compile and import run on each Python found; a missing linter of another language (pwsh) is ansible-test's skip.
sanity() {
  local home="$CACHE/ansible-test" path bin=$1
  shift
  path=$(sanity_path "$bin")
  "$bin/python" tests/tools/sanity_home.py "$home" &&
    (cd "$INSTALLED" && HOME="$home" PATH="$path" "$bin/ansible-test" sanity --color no "$@")
}

# One call for all playbooks: Ansible's own start takes longer than reading one.
syntax_installed() { # syntax_installed BIN
  local names
  mapfile -t names < <(cd "$INSTALLED/playbooks" && printf '%s\n' *.yml | sed 's/\.yml$//')
  [ "${#names[@]}" -gt 5 ] && installed "$1/ansible-playbook" -i localhost, --syntax-check "${names[@]/#/inferops.gpu.}"
}

# The pinned environment finds everything by ansible.cfg; the newest ansible-core is told where the dependencies are.
syntax_checkout() { # syntax_checkout BIN
  local with=()
  [ "$1" = "$VENV/bin" ] || with=(env ANSIBLE_COLLECTIONS_PATH="$ROOT/collections:$(dependencies)")
  "${with[@]}" "$1/ansible-playbook" --syntax-check site.yml playbooks/*.yml
}

# docs BIN: every module, plugin and role that ansible-doc lists must render; roles and modules must be listed at all.
docs() {
  local kind names total=0
  for kind in module filter lookup role; do
    mapfile -t names < <(installed "$1/ansible-doc" -t "$kind" -l inferops.gpu | grep -oE '^inferops\.gpu\.[a-z_]+' | sort -u)
    [ "${#names[@]}" -gt 0 ] || continue
    installed "$1/ansible-doc" -t "$kind" "${names[@]}" >/dev/null || return 1
    printf '%s: %s\n' "$kind" "${names[*]#inferops.gpu.}"
    total=$((total + ${#names[@]}))
  done
  local expected
  expected=$(find "$INSTALLED/roles" -mindepth 1 -maxdepth 1 -type d | wc -l)
  expected=$((expected + $(find "$INSTALLED/plugins/modules" -name '[a-z]*.py' | wc -l)))
  [ "$expected" -gt 0 ] && [ "$total" -ge "$expected" ] || { echo "ansible-doc shows $total of at least $expected roles and modules"; return 1; }
}

# importer: what Galaxy asks of a collection that is published there, by the program that it runs.
importer() {
  local stamp="$CACHE/importer/requirements.txt" output
  if ! cmp -s tests/requirements-importer.txt "$stamp"; then
    rm -rf "$CACHE/importer"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$CACHE/importer" \
      -r tests/requirements-importer.txt &&
      cp tests/requirements-importer.txt "$stamp" || return 1
  fi
  # It leaves its result where it is called.
  output=$(cd "$WORK" && PYTHONPATH="$CACHE/importer" GALAXY_IMPORTER_CONFIG="$ROOT/tests/galaxy-importer.cfg" "$VENV/bin/python" -m galaxy_importer.main \
    "$WORK"/dist/inferops-gpu-*.tar.gz 2>&1) || { echo "$output"; return 1; }
  echo "$output"
  # Of what ansible-test is told to ignore it always warns; of anything else it does not.
  ! grep -E '^(ERROR|WARNING|CRITICAL)' <<<"$output" | grep -v 'Ignore files skip ansible-test' && grep -q 'completed successfully' <<<"$output"
}

newest_venv() { # newest_venv PYTHON
  local stamp="$CACHE/newest/requirements.txt"
  if ! cmp -s tests/requirements-newest.txt "$stamp"; then
    rm -rf "$CACHE/newest"
    "$1" -m venv "$CACHE/newest" &&
      "$CACHE/newest/bin/pip" install --quiet --disable-pip-version-check -r tests/requirements-newest.txt &&
      cp tests/requirements-newest.txt "$stamp"
  fi
}

suite() { # suite BIN [ARGUMENT...]: everything about the built collection; the arguments are ansible-test's
  local core
  core=$("$1/ansible-playbook" --version | sed -n '1s/.*core \([0-9.]*\).*/\1/p')
  check "ansible-test sanity on $core" sanity "$@"
  check "syntax of the installed playbooks on $core" syntax_installed "$1"
  check "syntax of the checkout's playbooks on $core" syntax_checkout "$1"
  check "ansible-doc on $core" docs "$1"
}

mkdir -p "$CACHE"
check "build and install" build
[ "${#failed[@]}" -eq 0 ] || finish
check "Galaxy's importer" importer
check "links of the built collection" "$VENV/bin/python" tests/tools/links.py "$INSTALLED"
python=$(real_python 3.13 || real_python 3.12 || real_python 3.14 || true)
if [ -n "$python" ]; then
  mapfile -t once < <(printf -- '--skip-test\n%s\n' "${TEXT_TESTS[@]}")
  suite "$VENV/bin" "${once[@]}"
  check "newest ansible-core in .cache/newest" newest_venv "$python"
  if [ -x "$CACHE/newest/bin/ansible-playbook" ]; then
    # What asks nothing of Ansible has run on the pinned one: programs of the hosts, and the plan's rules one by one.
    check "unit tests on the newest" "$CACHE/newest/bin/python" -m pytest -q -p no:cacheprovider tests/unit/plugins \
      --ignore tests/unit/plugins/plugin_utils/plan --ignore tests/unit/plugins/module_utils/fetch --ignore tests/unit/plugins/module_utils/release \
      --ignore tests/unit/plugins/module_utils/supervisor --ignore tests/unit/plugins/module_utils/cuda tests/unit/test_argument_specs.py \
      tests/unit/plugins/plugin_utils/plan/test_example_inventories.py tests/unit/plugins/plugin_utils/plan/test_users_inventories.py
    suite "$CACHE/newest/bin"
  fi
else
  suite "$VENV/bin"
  if [ -n "${CI:-}" ]; then
    check "newest ansible-core" bash -c 'echo "no Python 3.12 or newer here, and CI must have one"; false'
  else
    skip "newest ansible-core" "it needs Python 3.12 or newer, and none was found here"
  fi
fi
finish
