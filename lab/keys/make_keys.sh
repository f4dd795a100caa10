#!/usr/bin/env bash
# Make the lab's SSH keys: make_keys.sh OUT. One pair to log in with, one host key for all machines.
#
#   OUT/ssh/id_ed25519, .pub, known_hosts        the controller's side
#   OUT/machine/ssh_host_ed25519_key, .pub, authorized_keys   mounted into every machine at /var/lib/lab
set -euo pipefail
out=$1
mkdir -p "$out/ssh" "$out/machine"
chmod 0700 "$out/ssh"

if [ ! -s "$out/ssh/id_ed25519" ] || [ ! -s "$out/machine/authorized_keys" ]; then
    echo "making the key to log in with" >&2
    rm -f "$out/ssh/id_ed25519"
    ssh-keygen -q -t ed25519 -N '' -C 'inferops lab' -f "$out/ssh/id_ed25519"
    cp "$out/ssh/id_ed25519.pub" "$out/machine/authorized_keys"
fi
if [ ! -s "$out/machine/ssh_host_ed25519_key" ] || [ ! -s "$out/ssh/known_hosts" ]; then
    echo "making the host key" >&2
    rm -f "$out/machine/ssh_host_ed25519_key"
    ssh-keygen -q -t ed25519 -N '' -C 'inferops lab host' -f "$out/machine/ssh_host_ed25519_key"
    # The inventory sets HostKeyAlias to this name: machines come and go, and two labs have different addresses.
    printf 'inferops-lab %s\n' "$(cut -d' ' -f1,2 "$out/machine/ssh_host_ed25519_key.pub")" >"$out/ssh/known_hosts"
fi
