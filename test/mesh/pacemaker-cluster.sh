#!/bin/sh
# The first process of a test's Pacemaker, in namespaces of its own: mounts hide what the machine itself has of it, and
# go with this process. Of the two nodes of the cluster, n2 does not exist.
# pacemaker-cluster.sh DIR AGENT
set -eu
dir=$1
agent=$2
mount --make-rprivate /
for hidden in /dev/shm /run /var/log /var/lib/pacemaker /var/lib/corosync /etc/corosync /etc/pacemaker; do
  mkdir -p "$hidden"
  mount -t tmpfs tmpfs "$hidden"
done
mkdir -p /run/lock /run/crm /run/sbin /run/sbin-work /var/log/pacemaker /var/log/corosync
for own in blackbox cib cores pengine; do mkdir "/var/lib/pacemaker/$own"; done
chown -R hacluster:haclient /var/lib/pacemaker /var/log/pacemaker /run/crm
# Where the fencer looks for agents.
mount -t overlay overlay -o lowerdir=/usr/sbin,upperdir=/run/sbin,workdir=/run/sbin-work /usr/sbin
install -m 755 "$agent" /usr/sbin/fence_rackward
ip link set lo up
hostname n1
install -m 644 "$dir/corosync.conf" /etc/corosync/corosync.conf
corosync -f &
# It cannot be joined before corosync answers.
tries=0
until corosync-cfgtool -s >/dev/null 2>&1; do
  tries=$((tries + 1))
  [ "$tries" -lt 300 ] || { cat /var/log/corosync/corosync.log; exit 1; }
  sleep 0.1
done
exec pacemakerd
