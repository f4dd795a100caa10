#!/usr/bin/env bash
# Make sure that virtual machines can be made here: virtual_machines.sh KIND... (uml, qemu). As root it installs what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

[ "$(uname -m)" = x86_64 ] || die "virtual machines of the lab are x86_64, this machine is $(uname -m)."
[ -z "${DOCKER_HOST-}" ] || die "virtual machines are ports of the lab's network, so its Docker engine has to be here, not at DOCKER_HOST=$DOCKER_HOST."
[ "$(id -u)" -eq 0 ] || die "virtual machines need root: for their network interfaces and for mmdebstrap."

# The disk's modules are those of User Mode Linux's kernel, so its package is needed for either kind.
declare -A packages=([mmdebstrap]="mmdebstrap debian-archive-keyring" [mke2fs]=e2fsprogs [ip]=iproute2 [linux.uml]=user-mode-linux)
for kind in "$@"; do
    [ "$kind" != qemu ] || packages[qemu-system-x86_64]=qemu-system-x86
done
missing=()
for command in "${!packages[@]}"; do
    # shellcheck disable=SC2206  # several packages for one command
    command -v "$command" >/dev/null || missing+=(${packages[$command]})
done
if [ "${#missing[@]}" -gt 0 ]; then
    can_install || die "missing: ${missing[*]} (Debian's packages)."
    say "installing ${missing[*]}"
    apt_install "${missing[@]}"
fi

if [ ! -e /dev/net/tun ]; then
    modprobe tun 2>/dev/null || true
    [ -e /dev/net/tun ] || die "no /dev/net/tun: this machine's kernel or container has no tap interfaces (modprobe tun)."
fi
