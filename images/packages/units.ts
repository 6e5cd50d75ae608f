/** systemd units (systemd.service(5), systemd.exec(5)). No root where the kernel allows it: capabilities instead. */

/** Of both daemons. No MemoryDenyWriteExecute: V8 compiles at run time. */
const HARDENING = `NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
# Node.js tries newer calls (io_uring) and goes without them when they are refused; killed for it, it could not.
SystemCallErrorNumber=EPERM
UMask=0077
LimitNOFILE=65536
`

export const CONDUCTOR_UNIT = `[Unit]
Description=Rackward conductor: API, power, network boot and imaging of servers
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=all
ExecStart=/usr/bin/rackward conductor --config /etc/rackward/conductor.yaml
ExecReload=/usr/bin/rackward conductor --config /etc/rackward/conductor.yaml --check-config
User=rackward
Group=rackward
StateDirectory=rackward
StateDirectoryMode=0750
RuntimeDirectory=rackward-conductor
Restart=always
RestartSec=2
WatchdogSec=120
# A slow machine, or a big database.
TimeoutStartSec=300
TimeoutStopSec=30
# The boot services go on without a conductor for a while, so that servers in the middle of a boot get through; a clean stop ends them.
KillMode=process
# Ports 67 and 69; DHCP frames of machines without an address, and the neighbour table for answers to them.
AmbientCapabilities=CAP_NET_BIND_SERVICE CAP_NET_RAW CAP_NET_ADMIN
CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_NET_RAW CAP_NET_ADMIN
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET
PrivateDevices=yes
${HARDENING}
[Install]
WantedBy=multi-user.target
`

export const AGENT_UNIT = `[Unit]
Description=Rackward agent: a host or an arbiter of the mesh
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0
ConditionPathExists=/etc/rackward/agent.yaml

[Service]
Type=notify
NotifyAccess=all
ExecStart=/usr/bin/rackward agent --config /etc/rackward/agent.yaml
User=rackward-agent
Group=rackward-agent
StateDirectory=rackward-agent
StateDirectoryMode=0700
# The gate stays open over a restart of the agent, and closes with the boot.
RuntimeDirectory=rackward
RuntimeDirectoryMode=0755
RuntimeDirectoryPreserve=yes
Restart=always
RestartSec=1
WatchdogSec=120
# A slow machine, or a big database.
TimeoutStartSec=300
TimeoutStopSec=30
KillMode=mixed
# A host under pressure must still be heard.
OOMScoreAdjust=-900
Nice=-10
# /sys/class/dmi/id/product_uuid is of mode 0400; ports of an arbiter's API may be low ones.
AmbientCapabilities=CAP_DAC_READ_SEARCH CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_NET_BIND_SERVICE
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
DevicePolicy=closed
DeviceAllow=char-watchdog rw
${HARDENING}
[Install]
WantedBy=multi-user.target
`

/** Guests wait for it. Enabled by hand on hosts whose agent has a gate: \`systemctl enable rackward-gate\`. */
export const GATE_UNIT = `[Unit]
Description=Holds guests back until the mesh lets this boot in
Before=libvirt-guests.service nova-compute.service

[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=infinity
ExecStart=/bin/sh -c 'until [ -s /run/rackward/gate ]; do sleep 1; done'

[Install]
RequiredBy=libvirt-guests.service nova-compute.service
`

export const CONDUCTOR_USER = `u rackward - "Rackward conductor" /var/lib/rackward\n`
export const AGENT_USER = `u rackward-agent - "Rackward agent" /var/lib/rackward-agent\n`
/** The agent pets a hardware watchdog without being root. */
export const WATCHDOG_RULE = `SUBSYSTEM=="watchdog", GROUP="rackward-agent", MODE="0660"\n`
