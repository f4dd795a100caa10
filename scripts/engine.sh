#!/usr/bin/env bash
# Make sure that a Docker engine answers. One that answers is used as it is; none is installed or started unless we are root.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

docker_error=
answers() {
    docker_error=$(docker info --format '{{.ServerVersion}}' 2>&1 >/dev/null)
}

command -v docker >/dev/null && answers && exit 0

case $docker_error in
    *"permission denied"*) die "Docker runs but $(id -un) may not use it: usermod -aG docker $(id -un), then log in again." ;;
esac
# An engine elsewhere that does not answer is not ours to replace.
[ -z "${DOCKER_HOST-}" ] || die "no Docker engine answers at DOCKER_HOST=$DOCKER_HOST."
if ! command -v dockerd >/dev/null; then
    can_install || die "a Docker engine is needed: apt install docker.io (as root), and add $(id -un) to the group docker."
    say "installing docker.io"
    apt_install docker.io iptables
fi
answers && exit 0

[ "$(id -u)" -eq 0 ] || die "the Docker engine does not run: systemctl start docker (as root)."
say "starting the Docker engine"
if [ -d /run/systemd/system ]; then
    systemctl start docker
else
    log=/var/log/dockerd.log
    setsid dockerd >"$log" 2>&1 </dev/null &
fi
for _ in $(seq 60); do
    answers && exit 0
    sleep 0.5
done
die "the Docker engine did not start within 30 s: ${log:-journalctl -u docker} tells why."
