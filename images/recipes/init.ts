/** The first program of the deploy ramdisk. No getty and no login is started: the only process is the agent. */

export const INIT = `#!/bin/busybox sh
export PATH=/usr/bin:/usr/sbin:/bin:/sbin
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox mount -t tmpfs tmpfs /tmp
/bin/busybox mount -t tmpfs tmpfs /run
echo 4 > /proc/sys/kernel/printk
# Devices show up in waves: a controller first, then the disks behind it.
load() { /bin/busybox find /sys/devices -name modalias -exec /bin/busybox cat {} + | /bin/busybox sort -u | /bin/busybox xargs modprobe -abq; }
load; load
modprobe -abq sd_mod ipmi_si ipmi_devintf efivarfs macvtap
[ -d /sys/firmware/efi/efivars ] && /bin/busybox mount -t efivarfs efivarfs /sys/firmware/efi/efivars
ip link set lo up
# This shell stays process 1 and reaps what the agent leaves. An agent that ends is started again; the conductor's deadline decides when that is hopeless.
while :; do
  /usr/bin/node --max-semi-space-size=16 /agent.cjs
  echo "rackward: the agent ended with $?, starting it again"
  /bin/busybox sleep 2
done
`
