#!/usr/bin/env bash
# Make the disk that the lab's virtual machines of a suite start from, unless it is there: build.sh SUITE OUT. Prints its path.
#
#   OUT/SUITE-HASH.ext4                    a root filesystem without a partition table, sparse
#   OUT/SUITE-HASH.vmlinuz, .initrd        Debian's kernel, for qemu; User Mode Linux brings its own, whose modules are in the disk
#
# SUITE is Debian's name of a release (bookworm, trixie). HASH is that of the recipe: a changed recipe makes a new disk, and the
# suite's old one is removed. As root, from Debian's packages alone: a container image knows nothing of boot loaders and kernels.
set -euo pipefail
out=$(realpath -m "$2")
cd "$(dirname "$0")"
suite=$1
size=16G

packages=$(cat ../image/packages.txt packages.txt | sort -u | paste -sd,)
uml=$(readlink -f /usr/lib/uml/modules/* | head -n 1)
recipe=$({ cat build.sh packages.txt ../image/packages.txt && basename "$uml" && find files ../image/files/usr/bin ../image/files/etc/ssh -type f -print0 \
    | LC_ALL=C sort -z | xargs -0 cat; } | sha256sum | cut -c1-12)
disk=$out/$suite-$recipe

if [ -s "$disk.ext4" ]; then
    echo "$disk.ext4"
    exit 0
fi

mkdir -p "$out"
work=$(mktemp -d "$out/.building-XXXXXX")
# One file system: mmdebstrap mounts the controller's /dev, /proc and /sys meanwhile.
trap 'rm -rf --one-file-system "$work"' EXIT
root=$work/root
echo "making $disk.ext4 with mmdebstrap" >&2
# The wheelhouse has torch's CPU build for Debian 12's Python alone (lab/wheelhouse/make_wheelhouse.sh). Debian 13 gets that Python
# beside its own, for vllm_python.
hooks=()
if [ "$suite" != bookworm ]; then
    # shellcheck disable=SC2016  # mmdebstrap's shell expands it
    hooks=(--customize-hook='set -e; sed -n "s/^\(deb .*\) '"$suite"' /\1 bookworm /p" "$1/etc/apt/sources.list" >"$1/etc/apt/sources.list.d/python.list"
        chroot "$1" apt-get -qq update
        DEBIAN_FRONTEND=noninteractive chroot "$1" apt-get -qq install --yes --no-install-recommends python3.11
        rm "$1/etc/apt/sources.list.d/python.list"')
fi
mmdebstrap --quiet --mode=root --variant=minbase --include="$packages" "${hooks[@]}" "$suite" "$root" >&2

# What a container of the lab has as well, but for the shared package cache and for dpkg's unsafe writes: here the power does go.
cp -r ../image/files/etc/ssh ../image/files/usr "$work"
rm "$work/usr/sbin/lab-boot"
cp -rT "$work/ssh" "$root/etc/ssh"
cp -rT "$work/usr" "$root/usr"
cp -rT files "$root"
rm -f "$root"/etc/ssh/ssh_host_* "$root/var/lib/dbus/machine-id" "$root/etc/apt/apt.conf.d/99mmdebstrap" \
    "$root"/etc/{hostname,hosts,resolv.conf}
: >"$root/etc/machine-id"
mkdir -p "$root/etc/lab" "$root/var/lib/lab"
chroot "$root" useradd --create-home --shell /bin/bash ops
printf 'ops ALL=(ALL) NOPASSWD: ALL\n' >"$root/etc/sudoers.d/ops"
chmod 0440 "$root/etc/sudoers.d/ops"
# As Debian's installer writes it.
printf '/dev/root / ext4 defaults,errors=remount-ro 0 1\n' >"$root/etc/fstab"
chroot "$root" systemctl --quiet enable systemd-networkd.service lab-iptables.service
# Debian's images write the journal to the disk only if this folder is there.
mkdir -p "$root/var/log/journal"
cp -r "$uml" "$root/lib/modules/"
chroot "$root" depmod "$(basename "$uml")"

cp -L "$root/vmlinuz" "$work/vmlinuz"
cp -L "$root/initrd.img" "$work/initrd"
truncate --size="$size" "$work/ext4"
mke2fs -q -t ext4 -L lab-root -d "$root" "$work/ext4"
rm -f "$out/$suite"-*
for part in vmlinuz initrd ext4; do mv "$work/$part" "$disk.$part"; done
echo "$disk.ext4"
