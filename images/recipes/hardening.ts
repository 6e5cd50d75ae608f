/** What `--hardened` sets in a Debian image, modelled on what the CIS benchmarks ask of a server. Each setting has
 *  a check, which the build runs in the finished tree and which is part of the image as
 *  /usr/lib/rackward/hardening-check. Pure. */

import { posix } from 'node:path'
import { AT, BANNER, hardenedFiles, lines, MODULES, SSHD, SYSCTLS } from './hardening-files.ts'

export interface Setting {
  readonly id: string
  readonly says: string
  /** Shell; exit status 0: it is in effect. */
  readonly check: string
}

const SU_LINE = 'auth required pam_wheel.so use_uid group=sudo'

const COMMANDS: readonly string[] = [
  // Not every version has a line for each.
  "sed -i -E '/^[[:space:]]*(UMASK|HOME_MODE|PASS_MAX_DAYS|PASS_MIN_DAYS)[[:space:]]/d' /etc/login.defs",
  "printf '%s\\n' 'UMASK 027' 'HOME_MODE 0750' 'PASS_MAX_DAYS 365' 'PASS_MIN_DAYS 1' >> /etc/login.defs",
  `sed -i -E 's/^#?[[:space:]]*auth[[:space:]]+required[[:space:]]+pam_wheel\\.so.*/${SU_LINE}/' /etc/pam.d/su`,
  'useradd -D -f 30',
  'chmod 0600 /etc/ssh/sshd_config',
  'passwd --quiet --lock root',
  'systemctl mask --quiet ctrl-alt-del.target',
  'systemctl enable --quiet auditd.service apparmor.service',
]

/** Their files are nobody's, or everybody's by purpose. */
const UNWATCHED = ['/tmp', '/var/tmp', '/proc', '/sys', '/dev', '/run'].map((path) => `-path ${path}`).join(' -o ')

const grep = (line: string, path: string) => `grep -qxF '${line}' ${path}`

export const HARDENING: readonly Setting[] = [
  ...MODULES.map((name) => ({
    id: `module-${name}`,
    says: `the kernel module ${name} cannot be loaded`,
    check: grep(`install ${name} /bin/false`, AT.modules),
  })),
  ...Object.entries(SYSCTLS).map(([key, value]) => ({
    id: `sysctl-${key}`,
    says: `${key} is ${value}`,
    check: [
      // In a tree that nobody has booted, the values are those of the machine that builds.
      `if [ -d /run/systemd/system ]; then [ "$(sysctl -n ${key})" = ${value} ]`,
      `else ${grep(`${key} = ${value}`, AT.sysctl)}`,
      'fi',
    ].join('; '),
  })),
  ...Object.entries(SSHD).map(([key, value]) => ({
    id: `sshd-${key}`,
    says: `sshd: ${key} is ${value}`,
    check: `printf '%s\\n' "$SSHD" | grep -qxiF '${key} ${value}'`,
  })),
  {
    id: 'core-limit',
    says: 'programs write no core files',
    check: `${grep('* hard core 0', AT.limits)} && ${grep('Storage=none', AT.coredump)}`,
  },
  {
    id: 'journal-persistent',
    says: 'the journal is kept on the disk, 1 GB at most',
    check: grep('Storage=persistent', AT.journald),
  },
  {
    id: 'sudo-pty',
    says: 'sudo runs commands on a terminal of their own',
    check: grep('Defaults use_pty', AT.sudo),
  },
  {
    id: 'sudo-log',
    says: 'sudo writes /var/log/sudo.log',
    check: `${grep('Defaults logfile="/var/log/sudo.log"', AT.sudo)} && visudo -cq`,
  },
  {
    id: 'su-group',
    says: 'only members of the group sudo may use su',
    check: grep(SU_LINE, '/etc/pam.d/su'),
  },
  { id: 'umask', says: 'the umask of a login is 027', check: grep('UMASK 027', '/etc/login.defs') },
  { id: 'home-mode', says: 'new homes have the mode 0750', check: grep('HOME_MODE 0750', '/etc/login.defs') },
  { id: 'password-age', says: 'passwords last 365 days at most', check: grep('PASS_MAX_DAYS 365', '/etc/login.defs') },
  {
    id: 'password-inactive',
    says: 'an account is locked 30 days after its password has expired',
    check: 'useradd -D | grep -qx INACTIVE=30',
  },
  {
    id: 'password-quality',
    says: 'a password has 14 characters of three kinds',
    check: `${grep('minlen = 14', AT.quality)} && grep -q pam_pwquality.so /etc/pam.d/common-password`,
  },
  { id: 'root-locked', says: 'root has no password', check: 'passwd -S root | grep -q "^root L"' },
  {
    id: 'no-empty-password',
    says: 'no account has an empty password',
    check: `! awk -F: '$2 == ""' /etc/shadow | grep -q .`,
  },
  {
    id: 'one-root',
    says: 'root alone has the user number 0',
    check: `[ "$(awk -F: '$3 == 0 { print $1 }' /etc/passwd)" = root ]`,
  },
  {
    id: 'shadow-mode',
    says: '/etc/shadow and /etc/gshadow are read by root and the group shadow alone',
    check: '[ "$(stat -c %a%U%G /etc/shadow /etc/gshadow | sort -u)" = 640rootshadow ]',
  },
  {
    id: 'passwd-mode',
    says: '/etc/passwd and /etc/group are written by root alone',
    check: '[ "$(stat -c %a%U%G /etc/passwd /etc/group | sort -u)" = 644rootroot ]',
  },
  {
    id: 'sshd-mode',
    says: '/etc/ssh/sshd_config is read by root alone',
    check: '[ "$(stat -c %a%U /etc/ssh/sshd_config)" = 600root ]',
  },
  {
    id: 'grub-mode',
    says: 'the menu of GRUB is read by root alone',
    check: '[ "$(stat -c %a%U /boot/grub/grub.cfg)" = 600root ]',
  },
  {
    id: 'world-writable',
    says: 'no file outside /tmp, /var/tmp, /proc, /sys, /dev and /run can be written by everybody',
    check: `! find / -xdev \\( ${UNWATCHED} \\) -prune -o -type f -perm -0002 -print | grep -q .`,
  },
  {
    id: 'tmp-mount',
    says: '/tmp is a file system of its own without devices and set-user-id',
    check: `grep -q '^tmpfs /tmp tmpfs nosuid,nodev,' /etc/fstab`,
  },
  {
    id: 'shm-mount',
    says: '/dev/shm has no programs, devices or set-user-id',
    check: grep('tmpfs /dev/shm tmpfs nosuid,nodev,noexec 0 0', '/etc/fstab'),
  },
  {
    id: 'audit',
    says: 'auditd starts with the system, and records changes of accounts, sudo, sshd, the clock and kernel modules',
    check: `systemctl is-enabled -q auditd.service && grep -q "k identity" ${AT.audit}`,
  },
  { id: 'audit-boot', says: 'the kernel audits from its start', check: "grep -q ' audit=1 ' /boot/grub/grub.cfg" },
  {
    id: 'apparmor',
    says: 'AppArmor is on',
    check: "systemctl is-enabled -q apparmor.service && grep -q ' apparmor=1 ' /boot/grub/grub.cfg",
  },
  {
    id: 'ctrl-alt-del',
    says: 'the keyboard does not restart the server',
    check: '[ "$(readlink /etc/systemd/system/ctrl-alt-del.target)" = /dev/null ]',
  },
  {
    id: 'banner',
    says: 'a login shows who may use the server',
    check: `${grep(BANNER.trim(), '/etc/issue')} && ${grep(BANNER.trim(), '/etc/issue.net')}`,
  },
]

function checkScript(): string {
  const tests = HARDENING.map(({ id, check }) => `( ${check} ); said ${id} $?`)
  return lines([
    '#!/bin/sh',
    'failed=0',
    'said() { if [ "$2" = 0 ]; then echo "ok     $1"; else echo "FAILED $1"; failed=1; fi; }',
    'key=$(mktemp -d)',
    `trap 'rm -rf "$key"' EXIT`,
    'mkdir -p /run/sshd',
    `ssh-keygen -q -t ed25519 -N '' -f "$key/key"`,
    'SSHD=$(/usr/sbin/sshd -T -h "$key/key")',
    ...tests,
    'exit "$failed"',
  ])
}

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`
const octal = (mode: number) => `0${mode.toString(8)}`

/** Run in mmdebstrap's hooks, with the tree as $1. */
export const hardeningHooks = (): string[] => [
  ...hardenedFiles(checkScript()).map(
    ({ path, mode, text }) =>
      `mkdir -p "$1${posix.dirname(path)}" && printf %s ${quoted(text)} > "$1${path}" && chmod ${octal(mode)} "$1${path}"`,
  ),
  ...COMMANDS.map((command) => `chroot "$1" sh -ec ${quoted(command)}`),
]
