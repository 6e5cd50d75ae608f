#!/bin/bash
# Inside the conductor's machine: installs Rackward, gives it the rack's network, and makes it the arbiter of a mesh. May be run again.
# One arbiter is enough to practise; a real mesh has three, so that one may fail.
set -euo pipefail
share=/rackward
export DEBIAN_FRONTEND=noninteractive
mac_of() { cat "/sys/class/net/$1/address"; }

# The packages of the last `npm run vagrant`, over those of the box. What they depend on is in our box, and downloaded into a public one.
sum=$(cat "$share"/packages/*.deb | sha256sum)
if [ "$(cat /var/lib/rackward.sum 2>/dev/null)" != "$sum" ]; then
  dpkg -i "$share"/packages/*.deb || { apt-get update -q && apt-get install -y -q --fix-broken curl; }
  echo "$sum" >/var/lib/rackward.sum
fi
[ -x /usr/bin/consul ] || install -m 0755 "$share/consul" /usr/bin/consul

# The second card is the rack's. networkd or ifupdown: whichever this Debian has.
card=$(ls /sys/class/net | grep -v '^lo$' | sort | sed -n 2p)
ip address replace 10.88.0.2/24 dev "$card"
ip link set "$card" up
mkdir -p /etc/systemd/network
printf '[Match]\nMACAddress=%s\n[Network]\nAddress=10.88.0.2/24\n' "$(mac_of "$card")" >/etc/systemd/network/20-rack.network

password=$(sed -n 's/.*password: \([^ }]*\).*/\1/p' /etc/rackward/clouds.yaml)
umask 027
cat >/etc/rackward/conductor.yaml <<CONFIG
data: /var/lib/rackward
images: { store: $share/store }
api:
  listen: [{ address: 127.0.0.1, port: 6385 }, { address: 10.88.0.2, port: 6385 }]
  auth: { strategy: http_basic, file: /etc/rackward/htpasswd }
agent: { address: 10.88.0.2, port: 6386 }
boot:
  interfaces: [{ name: $card, address: 10.88.0.2 }]
  http: { address: 10.88.0.2, port: 8080 }
  tftp: 10.88.0.2
  subnets: [{ cidr: 10.88.0.0/24, serverIp: 10.88.0.2, first: 10.88.0.100, last: 10.88.0.149 }]
  kernel: $share/ramdisk/kernel
  initrd: $share/ramdisk/initrd
  iso: $share/ramdisk/boot.iso
mesh: { arbiters: [http://10.88.0.2:7461], username: admin, passwordFile: /var/lib/rackward/mesh.password }
log: { format: text }
CONFIG
chgrp rackward /etc/rackward/conductor.yaml
install -m 0600 -o rackward -g rackward /dev/stdin /var/lib/rackward/mesh.password <<<"$password"
started() { systemctl restart "$1" || { journalctl --no-pager -o cat -u "$1" | tail -n 30 >&2; exit 1; }; }
started rackward-conductor

# The practice's manager of instances, which the mesh asks to move them.
install -m 0755 "$share/practice.mjs" /usr/local/lib/practice.mjs
install -d -o rackward-agent -g rackward-agent /var/lib/practice
[ -e /var/lib/practice/state.json ] || echo '{"hosts":{"server-1":"10.88.0.51","server-2":"10.88.0.52","server-3":"10.88.0.53"},"instances":[],"down":[]}' >/var/lib/practice/state.json
chown rackward-agent /var/lib/practice/state.json
cat >/etc/systemd/system/practice.service <<UNIT
[Unit]
Description=Manager of practice instances
[Service]
User=rackward-agent
ExecStart=/usr/lib/rackward/bin/node /usr/local/lib/practice.mjs serve /var/lib/practice/state.json 10.88.0.2 7070
Restart=always
[Install]
WantedBy=multi-user.target
UNIT
printf '#!/bin/sh\nexec /usr/lib/rackward/bin/node /usr/local/lib/practice.mjs "$@"\n' >/usr/local/bin/practice
chmod 0755 /usr/local/bin/practice
cat >/etc/rackward/agent.yaml <<CONFIG
name: conductor
role: arbiter
planes: { management: { address: 10.88.0.2 } }
consul: { tokenFile: /var/lib/rackward-agent/consul/token, run: { configDirectory: /var/lib/rackward-agent/consul/config } }
bmc: { conductor: { url: http://127.0.0.1:6385, username: admin, passwordFile: /var/lib/rackward-agent/conductor.password } }
driver: { kind: command, argv: [/usr/local/bin/practice, driver, 10.88.0.2, "7070"] }
api:
  listen: [{ address: 10.88.0.2, port: 7461 }]
  url: http://10.88.0.2:7461
  auth: { strategy: http_basic, file: /var/lib/rackward-agent/htpasswd }
log: { format: text }
CONFIG
chgrp rackward-agent /etc/rackward/agent.yaml
install -d -m 0700 -o rackward-agent -g rackward-agent /var/lib/rackward-agent
install -m 0600 -o rackward-agent -g rackward-agent /dev/stdin /var/lib/rackward-agent/conductor.password <<<"$password"
install -m 0600 -o rackward-agent -g rackward-agent /etc/rackward/htpasswd /var/lib/rackward-agent/htpasswd
systemctl daemon-reload
systemctl enable --now practice
# Consul takes its time to have a leader, and an emulated machine takes its own.
retry() { for _ in $(seq 60); do "$@" && return 0; sleep 2; done; return 1; }
as_agent() { setpriv --reuid rackward-agent --regid rackward-agent --clear-groups "$@"; }
if [ ! -e /var/lib/rackward-agent/consul/token ]; then
  as_agent rackward mesh init conductor --address 10.88.0.2
  started rackward-agent
  retry as_agent rackward mesh init conductor --finish
fi
started rackward-agent

# What each server will be told, and the file that enrolls them.
for n in 1 2 3; do
  [ -e /root/server-$n.json ] && continue
  retry as_agent rackward mesh invite server-$n --out /var/lib/rackward-agent/bundle-$n
  practice user-data server-$n 10.88.0.5$n 52:54:00:88:00:0$n /var/lib/rackward-agent/bundle-$n 10.88.0.2 >/root/server-$n.json
done
cp "$share/rack.yaml" "$share/rack-redfish.yaml" /root/
echo 'the conductor is ready: vagrant ssh conductor -c "sudo rackward doctor"'
