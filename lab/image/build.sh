#!/usr/bin/env bash
# Make the image that the lab's machines boot from, unless it is there: build.sh [SUITE[+prepared]]. Prints its name.
#
# SUITE is Debian's name of a release: bookworm (Debian 12, the default) or trixie (Debian 13). One recipe serves both. With +prepared the
# image has the OS packages that the roles install (prepared.txt) as well, which saves a machine whose test is about something else 25 seconds.
# The base is an official image where a registry answers, else mmdebstrap makes it from Debian's packages. One Dockerfile
# goes on top of either. The tag is a hash of the recipe: a changed recipe gives a new image.
set -euo pipefail
cd "$(dirname "$0")"

# build IMAGE ARGUMENTS...: what the engine says while building matters only when it fails (the classic builder warns about itself each time).
build() {
    local log
    if ! log=$(docker build --tag "$@" . 2>&1); then
        tail -n 20 <<<"$log" >&2
        exit 1
    fi
}

suite=${1:-bookworm}
if [[ $suite == *+prepared ]]; then
    suite=${suite%+prepared}
    bare=$(./build.sh "$suite")
    prepared=$bare-prepared-$(cat prepared.txt Dockerfile.prepared | sha256sum | cut -c1-12)
    if ! docker image inspect "$prepared" >/dev/null 2>&1; then
        echo "building $prepared" >&2
        build "$prepared" --file Dockerfile.prepared --build-arg BASE="$bare" --build-arg PACKAGES="$(tr '\n' ' ' <prepared.txt)"
    fi
    echo "$prepared"
    exit 0
fi
packages=$(tr '\n' ' ' <packages.txt)
recipe=$(find Dockerfile packages.txt files -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-12)
image=inferops-lab:$suite-$recipe
base=inferops-lab-base:$suite-$(sha256sum packages.txt | cut -c1-12)

if docker image inspect "$image" >/dev/null 2>&1; then
    echo "$image"
    exit 0
fi

bootstrap() {
    if ! command -v mmdebstrap >/dev/null; then
        if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
            echo "lab: no image registry answers; install mmdebstrap (Debian, Ubuntu) so that the base image can be made here." >&2
            exit 1
        fi
        echo "installing mmdebstrap" >&2
        apt-get -qq update >&2 && DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes mmdebstrap debian-archive-keyring >&2
    fi
    echo "making $base with mmdebstrap" >&2
    # To a file first: the engine would make an image of half an archive as well.
    archive=$(mktemp --suffix=.tar)
    trap 'rm -f "$archive"' EXIT
    if ! mmdebstrap --quiet --variant=minbase --include="${packages// /,}" "$suite" "$archive"; then
        [ "$(id -u)" -eq 0 ] \
            || echo "lab: without root mmdebstrap needs user namespaces (uidmap, /etc/subuid); or run lab/image/build.sh as root once." >&2
        exit 1
    fi
    docker import "$archive" "$base" >/dev/null
}

if ! docker image inspect "$base" >/dev/null 2>&1; then
    # The manifest is asked for first: a pull from a network that swallows packets would hang for minutes.
    if timeout 8 docker manifest inspect "debian:$suite-slim" >/dev/null 2>&1 \
        && timeout 300 docker pull --quiet "debian:$suite-slim" >&2; then
        docker tag "debian:$suite-slim" "$base"
    else
        bootstrap
    fi
fi

echo "building $image" >&2
build "$image" --build-arg BASE="$base" --build-arg PACKAGES="$packages"
echo "$image"
