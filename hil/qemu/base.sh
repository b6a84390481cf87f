#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Usage: base.sh SUITE MIRROR DIRECTORY
# Fills DIRECTORY with what a server is before the project is on it: tree/, vmlinuz, initrd.img.
# Run in mount and process namespaces of its own, so that nothing stays mounted or running.
set -eu
suite=$1 mirror=$2 directory=$3
tree=$directory/tree

# systemd-sysv, dbus, udev: a real server. openssh-server: how a person and the bench get in.
# iproute2, nftables, procps, psmisc: to break the network and look at the result.
# ipmitool: asks the server's own BMC over /dev/ipmi0. python3: what the project's package needs.
debootstrap --variant=minbase --include="systemd-sysv,dbus,udev,kmod,openssh-server,iproute2,\
iputils-ping,nftables,procps,psmisc,ipmitool,python3,initramfs-tools,linux-image-amd64" \
    "$suite" "$tree" "$mirror"

# A kernel that knows its few devices boots in half the time under emulation, and less is copied.
cd "$tree"/lib/modules/*/kernel
rm -rf sound drivers/gpu drivers/media drivers/infiniband drivers/staging drivers/isdn drivers/iio \
    drivers/usb drivers/bluetooth drivers/scsi drivers/mmc drivers/nvme drivers/net/wireless \
    drivers/net/ethernet drivers/net/wwan drivers/net/can drivers/net/ppp drivers/net/usb
cd "$tree"
mount -t proc proc proc
echo MODULES=list > etc/initramfs-tools/conf.d/bench
printf '%s\n' virtio_pci virtio_blk ext4 > etc/initramfs-tools/modules
# The name of the kernel is the only entry there.
chroot . depmod "$(ls lib/modules)"
chroot . update-initramfs -u
umount proc
cp boot/vmlinuz-* "$directory/vmlinuz"
cp boot/initrd.img-* "$directory/initrd.img"
rm -rf boot/* var/cache/apt/archives/*.deb var/lib/apt/lists/*

# Work that a server does now and then, and which the bench does not want to wait for.
for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer dpkg-db-backup.timer systemd-timesyncd.service getty@tty1.service \
    systemd-pcrphase.service systemd-pcrphase-sysinit.service dev-hugepages.mount \
    sys-fs-fuse-connections.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
    modprobe@.service proc-sys-fs-binfmt_misc.automount systemd-binfmt.service; do
    ln -sf /dev/null "etc/systemd/system/$unit"
done
# The other watchdog of this chipset: the servers have one, an i6300esb.
echo 'blacklist iTCO_wdt' > etc/modprobe.d/bench.conf
# A person at the console gets in, and no server is the machine it was built on.
sed -i 's/^root:[^:]*:/root::/' etc/shadow
: > etc/machine-id
rm -f etc/hostname etc/resolv.conf
