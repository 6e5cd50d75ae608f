/** Maintainer scripts and files of the Debian packages (Debian Policy, chapters 6 and 10.7). */

export const CONDUCTOR_CONFIG = `# Rackward's conductor. Every key: docs/configuration.md.
# Try a change: rackward conductor --config /etc/rackward/conductor.yaml --check-config
data: /var/lib/rackward
images: { store: /var/lib/rackward/images }
api:
  listen: [{ address: 127.0.0.1, port: 6385 }]
  auth: { strategy: http_basic, file: /etc/rackward/htpasswd }
# To boot servers, add "agent" and "boot". Build the ramdisk first:
# rackward image build ramdisk --cache /var/lib/rackward
`

export const AGENT_EXAMPLE = `# Rackward's agent on a host. Copy to /etc/rackward/agent.yaml.
# Every key: docs/configuration.md.
name: host-1
role: host
planes:
  management: { address: 192.0.2.11 }
consul:
  tokenFile: /var/lib/rackward-agent/consul/token
  run: { configDirectory: /var/lib/rackward-agent/consul/config }
gate: {}
`

export const WRAPPER = `#!/bin/sh
exec /usr/lib/rackward/bin/node /usr/lib/rackward/dist/bundle/main.js "$@"
`

/** Where fencers look for agents. */
export const FENCE_WRAPPER = `#!/bin/sh
exec /usr/bin/rackward fence-agent "$@"
`

/** Enables at the first installation, leaves an administrator's choice alone afterwards, and (re)starts. */
const startUnit = (unit: string) => `
  deb-systemd-helper unmask ${unit} >/dev/null || true
  if deb-systemd-helper --quiet was-enabled ${unit}; then deb-systemd-helper enable ${unit} >/dev/null || true
  else deb-systemd-helper update-state ${unit} >/dev/null || true; fi
  if [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
    if [ -n "$2" ]; then action=restart; else action=start; fi
    deb-systemd-invoke $action ${unit} >/dev/null || true
  fi`

export const CONDUCTOR_POSTINST = `#!/bin/sh
set -e
if [ "$1" = configure ]; then
  systemd-sysusers rackward-conductor.conf
  install -d -m 0750 -o rackward -g rackward /var/lib/rackward
  install -d -m 0755 -o rackward -g rackward /var/lib/rackward/images
  # Authentication is on from the first start: one administrator with a random password, which root finds in
  # clouds.yaml.
  if [ ! -e /etc/rackward/htpasswd ]; then
    umask 077
    password=$(rackward user set admin --file /etc/rackward/htpasswd --random)
    chown root:rackward /etc/rackward/htpasswd
    chmod 0640 /etc/rackward/htpasswd
    cat >/etc/rackward/clouds.yaml <<CLOUDS
clouds:
  rackward:
    auth_type: http_basic
    auth: { endpoint: "http://127.0.0.1:6385", username: admin, password: $password }
CLOUDS
  fi${startUnit('rackward-conductor.service')}
fi
`

export const AGENT_POSTINST = `#!/bin/sh
set -e
if [ "$1" = configure ]; then
  systemd-sysusers rackward-agent.conf
  # Asks libvirt as its members may, where there is one.
  if getent group libvirt >/dev/null && [ -x /usr/sbin/usermod ]; then usermod -a -G libvirt rackward-agent; fi
  if [ -d /run/udev ]; then
    udevadm control --reload >/dev/null 2>&1 && udevadm trigger --subsystem-match=watchdog >/dev/null 2>&1 || true
  fi${startUnit('rackward-agent.service')}
fi
`

export const prerm = (unit: string): string => `#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then deb-systemd-invoke stop ${unit} >/dev/null || true; fi
`

export const postrm = (unit: string, purged: readonly string[]): string => `#!/bin/sh
set -e
if [ "$1" = remove ] && [ -x /usr/bin/deb-systemd-helper ]; then deb-systemd-helper mask ${unit} >/dev/null || true; fi
if [ "$1" = purge ]; then
  if [ -x /usr/bin/deb-systemd-helper ]; then
    deb-systemd-helper purge ${unit} >/dev/null || true
    deb-systemd-helper unmask ${unit} >/dev/null || true
  fi
  rm -rf ${purged.join(' ')}
fi
if [ -d /run/systemd/system ]; then systemctl --system daemon-reload >/dev/null || true; fi
`
