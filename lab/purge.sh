#!/usr/bin/env bash
# Remove what the lab made beside containers and networks: purge.sh OUT NAME. Prints what it did.
# What another lab's containers still use stays.
set -euo pipefail
out=$1
name=$2

if [ -d "$out/labs/$name" ]; then
    rm -rf "$out/labs/$name" "$out/ssh/config-$name"
    echo "removed $out/labs/$name"
fi

# users FILTER: names of the labs whose containers pass the filter.
users() {
    docker ps --all --filter label=inferops.lab --filter "$1" --format '{{.Label "inferops.lab"}}' | sort -u | tr '\n' ' '
}

if [ -d "$out" ]; then
    others=$(users "volume=$out/machine")
    if [ -n "$others" ]; then
        echo "kept $out: in use by ${others% }"
        exit 0
    fi
fi

mapfile -t images < <(docker images --format '{{.Repository}}:{{.Tag}}' | grep -E '^inferops-lab(-base)?:' || true)
# Machines wrote the caches as their own users. Where we are not root, only a container may remove them.
if [ -d "$out/cache" ] && [ "$(id -u)" -ne 0 ]; then
    for image in "${images[@]}"; do
        docker run --rm --network none --volume "$out:/out" "$image" rm -rf /out/cache && break
    done
fi
if [ -d "$out" ]; then
    rm -rf "$out"
    echo "removed $out"
fi

# Another checkout's lab boots from the same images.
others=$(users label=inferops.lab)
if [ -n "$others" ]; then
    echo "kept the images: in use by ${others% }"
elif [ "${#images[@]}" -gt 0 ]; then
    docker rmi --force "${images[@]}" >/dev/null
    echo "removed ${#images[@]} images"
fi
