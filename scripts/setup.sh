#!/usr/bin/env bash
# Make or update .venv from the pinned requirements: setup.sh [--test]. Does nothing when it is up to date.
#
# Honours pip's settings of this machine (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, PIP_CERT, pip.conf).
# PYTHON=/path/to/python picks an interpreter; otherwise it is the system's Python, or else the first Python >= 3.11 that is found.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

stamp_of() {
    echo ".venv/.made-${1%.txt}-$(cat requirements.txt "$1" | sha256sum | cut -c1-16)"
}

case ${1-} in
    --test) requirements="requirements-test.txt" ;;
    *) requirements="requirements.txt" ;;
esac
[ -e "$(stamp_of "$requirements")" ] && [ -x .venv/bin/ansible-playbook ] && exit 0

# The interpreter itself: not a shim, and not the one of a .venv that is about to go.
find_python() {
    local candidate
    # Distributions build theirs with profile-guided optimization. pyenv by default does not, and its Python takes a third longer.
    for candidate in ${PYTHON-} /usr/bin/python3 python3 python3.13 python3.12 python3.11 python3.14; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            "$candidate" -c 'import sys; print(getattr(sys, "_base_executable", sys.executable))'
            return
        fi
    done
    die "Python 3.11 or newer is needed and none was found (Debian 12, Ubuntu 24.04: apt install python3 python3-venv)."
}

if [ -e "$(stamp_of requirements.txt)" ] && [ -x .venv/bin/uv ]; then
    say "adding the test tools to .venv"
else
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        can_install || die "$python cannot make virtual environments: apt install python$version-venv (or python3-venv)."
        say "installing python$version-venv"
        apt_install "python$version-venv"
    fi
    # A new environment instead of a repair: uv needs only seconds for it.
    say "making .venv with $python from $requirements"
    rm -rf .venv
    "$python" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "$(grep '^uv==' requirements.txt)" 2> >(grep -v '^WARNING' >&2)
fi
use_pip_settings .venv/bin/python
.venv/bin/uv pip install --quiet --python .venv/bin/python --requirement "$requirements"
# The test tools come on top of the rest.
touch "$(stamp_of requirements.txt)" "$(stamp_of "$requirements")"
