#!/bin/sh
# in-root.sh ROOT WORK [DIR:INSIDE ...] -- COMMAND...: runs a program in a tree of packages, in a mount namespace that the caller made.
# The tree and the lent directories are read-only there; WORK is /work, the only place to write to besides /tmp.
set -eu
root=$1 work=$2
shift 2
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/lent"
mount --bind "$work" "$root/work"
while [ "$1" != -- ]; do
  mkdir -p "$root/lent/${1#*:}"
  mount --bind "${1%%:*}" "$root/lent/${1#*:}"
  mount -o remount,bind,ro "$root/lent/${1#*:}"
  shift
done
shift
exec chroot "$root" /bin/sh -c 'cd /work && exec "$@"' in-root "$@"
