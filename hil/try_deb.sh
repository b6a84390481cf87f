#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Usage: try_deb.sh PACKAGE RELEASE ARCHITECTURE MIRROR TREE
# Fills TREE with that Debian if it is not there, and tries the package on a throw-away copy of it.
# Run in mount and process namespaces of its own, in the checkout.
set -eu
package=$1 release=$2 architecture=$3 mirror=$4 tree=$5

say() { printf '%s\n' "-- $*"; }

# Programs of another architecture run by QEMU: as systemd-binfmt arranges it at boot.
kind=native
if [ "$architecture" != "$(dpkg --print-architecture)" ]; then
    kind=foreign
    mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
    case $architecture in arm64) name=qemu-aarch64 ;; *) name=qemu-$architecture ;; esac
    if [ ! -e "/proc/sys/fs/binfmt_misc/$name" ]; then
        cat "/usr/lib/binfmt.d/$name.conf" >/proc/sys/fs/binfmt_misc/register
        trap 'echo -1 >"/proc/sys/fs/binfmt_misc/$name"' EXIT
    fi
fi

# openipmi, nftables, e2fsprogs, iputils-ping: what the demo's pair is made of. man-db: its pages.
if [ ! -d "$tree" ]; then
    say "debootstrap: $release, $architecture"
    rm -rf "$tree.new"
    debootstrap --variant=minbase --arch="$architecture" --include="systemd,dbus,udev,iproute2,\
nftables,procps,python3,man-db,openipmi,e2fsprogs,iputils-ping" \
        "$release" "$tree.new" "$mirror" >"$tree.log" 2>&1 || { tail -n 20 "$tree.log"; exit 1; }
    rm -rf "$tree.new"/var/cache/apt/archives/*.deb
    mv "$tree.new" "$tree"
fi

mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o "lowerdir=$tree,upperdir=/mnt/upper,workdir=/mnt/work" /mnt/root
mkdir -p /mnt/root/bench/hil /mnt/root/install
# The bench without the project: what it starts is what the package has installed.
mount --bind hil /mnt/root/bench/hil
cp "$package" /mnt/root/install/haagent.deb
cd /mnt/root
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 none sys/fs/cgroup
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
inside='hostname alpha; ip link set lo up; exec chroot . sh /bench/hil/try_deb_inside.sh "$@"'
unshare --net --ipc --uts sh -ec "$inside" sh "$architecture" "$kind"
