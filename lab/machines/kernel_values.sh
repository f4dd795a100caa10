#!/usr/bin/env bash
# What the controller's own kernel says about its network: kernel_values.sh save FILE IMAGE, kernel_values.sh restore FILE.
#
# A machine of the lab that has the controller's network can change settings of this very kernel. `save` writes them to FILE
# unless there is one: that would be from a run that never came to its end, and holds what was before it. `restore` writes those
# back that differ, and removes FILE; without FILE it does nothing. Both go through a container of IMAGE, in the engine's network:
# the engine may be elsewhere, and its user need not be root. Prints what changed.
set -euo pipefail
mode=$1
file=$2

in_the_engines_network() {
    docker run --rm --interactive --network host --cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt apparmor=unconfined \
        --security-opt seccomp=unconfined --entrypoint /bin/sh "$1" -c "$2"
}

case $mode in
    save)
        image=$3
        [ ! -s "$file" ] || exit 0
        mkdir -p "$(dirname "$file")"
        # Settings of single interfaces come and go with them.
        # shellcheck disable=SC2016
        values=$(in_the_engines_network "$image" '
            cd /proc/sys/net
            find core netfilter ipv4 bridge nf_conntrack_max -maxdepth 1 -type f -perm -u+rw -not -name "*flush*" 2>/dev/null | sort | while read -r key; do
                value=$(cat "$key" 2>/dev/null) && printf "%s %s\n" "$key" "$value"
            done')
        printf '%s\n%s\n' "$image" "$values" >"$file.part"
        mv "$file.part" "$file"
        echo "saved $file"
        ;;
    restore)
        [ -s "$file" ] || exit 0
        # shellcheck disable=SC2016
        in_the_engines_network "$(head -n 1 "$file")" '
            mount --bind /proc/sys/net /proc/sys/net && mount -o remount,rw,bind /proc/sys/net || exit 1
            cd /proc/sys/net
            failed=0
            while read -r key value; do
                [ -e "$key" ] && [ "$(cat "$key")" != "$value" ] || continue
                if printf "%s\n" "$value" > "$key"; then echo "restored $key: $value"; else failed=1; fi
            done
            exit $failed' < <(tail -n +2 "$file")
        rm "$file"
        ;;
    *)
        echo "kernel_values.sh: save or restore, not $mode" >&2
        exit 2
        ;;
esac
