# shellcheck shell=bash
# Functions that the scripts here share. To be sourced by bash.

# One line about what is going on.
say() {
    printf '==> %s\n' "$*"
}

# One line about what is missing, and the end.
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Whether packages can be installed here: root on Debian or one of its kin.
can_install() {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null
}

apt_install() {
    local log
    log=$(mktemp)
    if ! { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "$@"; } \
        >"$log" 2>&1 </dev/null; then
        tail -n 5 "$log" >&2
        die "could not install: $*"
    fi
    rm -f "$log"
}

# uv reads variables of its own: hand it what pip is told on this machine. use_pip_settings PYTHON
use_pip_settings() {
    local python=$1 value
    value=$("$python" -m pip config get global.index-url 2>/dev/null) || value=
    export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-$value}}"
    [ -n "$UV_DEFAULT_INDEX" ] || unset UV_DEFAULT_INDEX
    [ -z "${PIP_EXTRA_INDEX_URL-}" ] || export UV_INDEX="${UV_INDEX:-$PIP_EXTRA_INDEX_URL}" UV_INDEX_STRATEGY=unsafe-best-match
    [ -z "${PIP_FIND_LINKS-}" ] || export UV_FIND_LINKS="${UV_FIND_LINKS:-${PIP_FIND_LINKS// /,}}"
    [ -z "${PIP_CERT-}" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"
}
