#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Usage: system.sh BASE INSTALL EXTRA DIRECTORY
# Puts the project and the bench's own files on the tree of BASE and makes DIRECTORY/system.ext4 of
# it. INSTALL is laid into the server at /install, and its install.sh run there, while EXTRA is copied over /.
# Run in mount and process namespaces of its own; BASE stays as it is.
set -eu
base=$1 install=$2 extra=$3 directory=$4

mkdir "$directory/work"
mount -t tmpfs tmpfs "$directory/work"
cd "$directory/work"
mkdir upper inner tree
mount -t overlay -o "lowerdir=$base/tree,upperdir=upper,workdir=inner" overlay tree
mkdir tree/install
mount --bind "$install" tree/install
mount -t proc proc tree/proc
chroot tree sh /install/install.sh
umount tree/proc tree/install
rmdir tree/install
cp -a "$extra/." tree/
chown -R 0:0 tree/root
mkfs.ext4 -q -F -L bench -d tree "$directory/system.ext4" 1500M
cd /
umount "$directory/work/tree" "$directory/work"
rmdir "$directory/work"
