#!/bin/bash
# BMCs for the blank servers, on the host's side of the rack's network, one address each (10.88.0.201 to .203), joined to libvirt's domains:
# ipmi_sim speaks IPMI, dist/vagrant/redfish-bmcs.mjs Redfish. "up" starts them, "down" ends them; ipmi_sim calls this script itself as
# "chassis NAME ...".
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=/var/tmp/rackward-vagrant-bmc
virsh() { command virsh -q -c qemu:///system "$@"; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

up() {
  # What ipmi_sim runs as root stands in files there: nobody else may have made them.
  umask 077; mkdir -p "$dir"
  [ -O "$dir" ] && [ ! -L "$dir" ] || { echo "$dir belongs to another user: remove it, or run this as that user" >&2; exit 1; }
  chmod 700 "$dir"
  command -v ipmi_sim >/dev/null || { echo 'ipmi_sim is missing: apt-get install openipmi' >&2; exit 1; }
  bridge=$(virsh net-dumpxml rackward | sed -n "s/.*<bridge name='\([^']*\)'.*/\1/p")
  for n in 1 2 3; do
    d=$dir/server-$n; mkdir -p "$d/state"
    as_root ip address replace 10.88.0.20$n/32 dev "$bridge"
    # The GUID is the system's UUID, as real BMCs have it; a fence looks whether it is.
    guid=$(virsh domuuid rackward_server-$n | tr -d '\n -')
    cat >"$d/lan.conf" <<CONF
name "server-$n"
set_working_mc 0x20
  startlan 1
    addr 10.88.0.20$n 623
    priv_limit admin
    allowed_auths_callback md5
    allowed_auths_user md5
    allowed_auths_operator md5
    allowed_auths_admin md5
    guid $guid
  endlan
  chassis_control "$here/bmc.sh chassis rackward_server-$n"
  sol "tcp:127.0.0.1:$(serial_port $n)" 115200
  user 1 false "" "" user 1
  user 2 true "admin" "rack-secret" admin 10
CONF
    printf 'mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nsel_enable 0x20 1000 0x0a\nmc_enable 0x20\n' >"$d/emu.cmd"
    serial_over_lan "$n"
    running "$d" || as_root setsid sh -c 'echo $$ >"$0/pid"; exec ipmi_sim -n -c "$0/lan.conf" -f "$0/emu.cmd" -s "$0/state" >"$0/log" 2>&1 </dev/null' "$d" &
  done
  running_redfish || as_root setsid sh -c 'echo $$ >"$0/redfish.pid"; exec "$2" "$1" "$0" >"$0/redfish.log" 2>&1 </dev/null' "$dir" "$here/../dist/vagrant/redfish-bmcs.mjs" "$(command -v node)" &
  wait_for_bmcs
}

serial_port() { echo $((9100 + $1)); }

# From its next start on, a server's serial port is a TCP socket, which its BMC passes on as serial over LAN, with the log beside it.
serial_over_lan() {
  domain=rackward_server-$1; xml=$dir/server-$1/domain.xml
  # Those of root, from when the BMC ran, are replaced.
  rm -f "$xml" "$xml.old"
  virsh dumpxml --inactive --security-info "$domain" >"$xml.old"
  grep -q "<serial type='tcp'" "$xml.old" && return
  serial="<serial type='tcp'><source mode='bind' host='127.0.0.1' service='$(serial_port "$1")'/><protocol type='raw'/>"
  serial="$serial<log file='/var/tmp/rackward-server-$1.log' append='on'/><target port='0'/></serial>"
  sed -e "/<serial type=/,/<\\/serial>/d" -e "/<console type=/,/<\\/console>/d" -e "s|</devices>|$serial</devices>|" "$xml.old" >"$xml"
  virsh define "$xml" >/dev/null
}

running_redfish() { [ -e "$dir/redfish.pid" ] && grep -qa redfish-bmcs "/proc/$(cat "$dir/redfish.pid")/cmdline" 2>/dev/null; }
redfish_answers() { (exec 3<>"/dev/tcp/10.88.0.20$1/443") 2>/dev/null; }
running() { [ -e "$1/pid" ] && grep -qa ipmi_sim "/proc/$(cat "$1/pid")/cmdline" 2>/dev/null; }

wait_for_bmcs() {
  for n in 1 2 3; do
    for _ in $(seq 40); do running "$dir/server-$n" && continue 2; sleep 0.1; done
    echo "the BMC of server-$n did not start: $dir/server-$n/log" >&2; exit 1
  done
  for n in 1 2 3; do
    for _ in $(seq 100); do redfish_answers $n && continue 2; sleep 0.2; done
    echo "the Redfish BMC of server-$n does not answer: $dir/redfish.log" >&2; exit 1
  done
  echo 'the BMCs answer at 10.88.0.201 to 10.88.0.203 by IPMI and by Redfish (user admin, password rack-secret)'
  echo 'serial consoles, after the first power-on by its BMC: in the web console, or rackward node console server-1; logs: /var/tmp/rackward-server-N.log'
}

down() {
  for n in 1 2 3; do running "$dir/server-$n" && as_root kill "$(cat "$dir/server-$n/pid")"; done
  if running_redfish; then as_root kill "$(cat "$dir/redfish.pid")"; fi
  as_root rm -rf "$dir"
}

# What IPMI asks of a chassis: get power|boot, set power 0|1, set reset 1, set shutdown 1, set boot none|pxe|default.
chassis() {
  domain=$1; op=$2; shift 2
  on() { [ "$(virsh domstate "$domain")" = running ]; }
  case $op in
    get) for what in "$@"; do case $what in
        power) if on; then echo power:1; else echo power:0; fi;;
        boot) echo "boot:$(cat "$dir/${domain#rackward_}/boot" 2>/dev/null || echo none)";;
        *) exit 1;;
      esac; done;;
    set) while [ $# -gt 0 ]; do case $1 in
        power) if [ "$2" = 1 ]; then on || virsh start "$domain" >/dev/null; else on && virsh destroy "$domain" >/dev/null || true; fi;;
        reset) if on; then virsh destroy "$domain" >/dev/null; fi; virsh start "$domain" >/dev/null;;
        shutdown) if on; then virsh shutdown "$domain" >/dev/null; fi;;
        boot) echo "$2" >"$dir/${domain#rackward_}/boot"; boot_order "$domain" "$2";;
        *) exit 1;;
      esac; shift 2; done;;
    check) ;;
  esac
}

# "default" is ipmi_sim's word for the disk.
boot_order() {
  if [ "$2" = default ]; then order="<boot dev='hd'/><boot dev='network'/>"; else order="<boot dev='network'/><boot dev='hd'/>"; fi
  xml=$dir/${1#rackward_}/domain.xml
  virsh dumpxml --inactive --security-info "$1" | sed -e "/<boot \(dev\|order\)=/d" -e "s|</os>|$order</os>|" >"$xml"
  virsh define "$xml" >/dev/null
}

case ${1:-} in
  up) up;;
  down) down || true;;
  chassis) shift; chassis "$@";;
  *) echo 'bmc.sh up or down' >&2; exit 2;;
esac
