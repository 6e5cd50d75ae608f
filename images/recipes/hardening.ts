/** What `--hardened` sets in a Debian image, modelled on what the CIS benchmarks ask of a server. Each setting has
 *  a check, which the build runs in the finished tree and which is part of the image as
 *  /usr/lib/rackward/hardening-check. Pure. */

export interface Setting {
  readonly id: string
  readonly says: string
  /** Shell; exit status 0: it is in effect. */
  readonly check: string
}

interface HardenedFile {
  readonly path: string
  readonly mode: number
  readonly text: string
}

/** File systems and protocols that a server has no use for. */
const MODULES = ['cramfs', 'freevxfs', 'hfs', 'hfsplus', 'jffs2', 'dccp', 'rds', 'sctp', 'tipc'] as const

const SYSCTLS: Readonly<Record<string, number>> = {
  'fs.protected_fifos': 2,
  'fs.protected_hardlinks': 1,
  'fs.protected_regular': 2,
  'fs.protected_symlinks': 1,
  'fs.suid_dumpable': 0,
  'kernel.dmesg_restrict': 1,
  'kernel.kptr_restrict': 2,
  'kernel.randomize_va_space': 2,
  'kernel.yama.ptrace_scope': 1,
  'net.ipv4.conf.all.accept_redirects': 0,
  'net.ipv4.conf.all.accept_source_route': 0,
  'net.ipv4.conf.all.log_martians': 1,
  'net.ipv4.conf.all.send_redirects': 0,
  'net.ipv4.conf.default.accept_redirects': 0,
  'net.ipv4.conf.default.accept_source_route': 0,
  'net.ipv4.conf.default.send_redirects': 0,
  'net.ipv4.icmp_echo_ignore_broadcasts': 1,
  'net.ipv4.tcp_syncookies': 1,
  'net.ipv6.conf.all.accept_redirects': 0,
  'net.ipv6.conf.all.accept_source_route': 0,
  'net.ipv6.conf.default.accept_redirects': 0,
}

/** As `sshd -T` shows them. */
const SSHD: Readonly<Record<string, string>> = {
  permitrootlogin: 'no',
  passwordauthentication: 'no',
  kbdinteractiveauthentication: 'no',
  permitemptypasswords: 'no',
  permituserenvironment: 'no',
  hostbasedauthentication: 'no',
  ignorerhosts: 'yes',
  x11forwarding: 'no',
  maxauthtries: '4',
  maxsessions: '10',
  logingracetime: '60',
  clientaliveinterval: '300',
  clientalivecountmax: '3',
  loglevel: 'VERBOSE',
  banner: '/etc/issue.net',
}

const AUDIT_RULES = `-D
-b 8192
-w /etc/passwd -p wa -k identity
-w /etc/group -p wa -k identity
-w /etc/shadow -p wa -k identity
-w /etc/gshadow -p wa -k identity
-w /etc/sudoers -p wa -k scope
-w /etc/sudoers.d/ -p wa -k scope
-w /etc/ssh/sshd_config -p wa -k sshd
-w /etc/ssh/sshd_config.d/ -p wa -k sshd
-w /var/log/sudo.log -p wa -k actions
-w /etc/localtime -p wa -k time
-a always,exit -F arch=b64 -S adjtimex,settimeofday,clock_settime -k time
-a always,exit -F arch=b64 -S init_module,finit_module,delete_module -k modules
-a always,exit -F arch=b64 -S mount -F auid>=1000 -F auid!=unset -k mounts
`
const BANNER = 'Authorized use only. What is done here is recorded.\n'
const lines = (all: readonly string[]) => `${all.join('\n')}\n`
/** Prints each setting with `ok` or `FAILED`; exit status 1: one failed. */
export const HARDENING_CHECK = '/usr/lib/rackward/hardening-check'
const SSHD_PATH = '/etc/ssh/sshd_config.d/00-rackward-hardened.conf'

export const HARDENED_PACKAGES: readonly string[] = ['auditd', 'apparmor', 'libpam-pwquality']
/** The kernel audits what runs before auditd as well. */
export const HARDENED_KERNEL_ARGS = 'audit=1 audit_backlog_limit=8192 apparmor=1 security=apparmor'
/** Root's password stays locked, and its keys are refused as well. */
export const HARDENED_CLOUD_CFG = 'disable_root: true\nssh_pwauth: false\n'
export const HARDENED_FSTAB =
  'tmpfs /tmp tmpfs nosuid,nodev,mode=1777,size=50% 0 0\ntmpfs /dev/shm tmpfs nosuid,nodev,noexec 0 0\n'

const files = (): HardenedFile[] => [
  {
    path: '/etc/modprobe.d/60-rackward-hardened.conf',
    mode: 0o644,
    text: lines(MODULES.flatMap((name) => [`blacklist ${name}`, `install ${name} /bin/false`])),
  },
  {
    // The last file wins, also over those of packages.
    path: '/etc/sysctl.d/99-rackward-hardened.conf',
    mode: 0o644,
    text: lines(Object.entries(SYSCTLS).map(([key, value]) => `${key} = ${value}`)),
  },
  // The first value counts for sshd: before the file of cloud-init.
  { path: SSHD_PATH, mode: 0o600, text: lines(Object.entries(SSHD).map(([key, value]) => `${key} ${value}`)) },
  { path: '/etc/security/limits.d/60-rackward-hardened.conf', mode: 0o644, text: '* hard core 0\n' },
  {
    path: '/etc/systemd/coredump.conf.d/60-rackward-hardened.conf',
    mode: 0o644,
    text: '[Coredump]\nStorage=none\nProcessSizeMax=0\n',
  },
  {
    path: '/etc/systemd/journald.conf.d/60-rackward-hardened.conf',
    mode: 0o644,
    text: '[Journal]\nStorage=persistent\nCompress=yes\nSystemMaxUse=1G\n',
  },
  {
    path: '/etc/sudoers.d/60-rackward-hardened',
    mode: 0o440,
    text: 'Defaults use_pty\nDefaults logfile="/var/log/sudo.log"\n',
  },
  {
    path: '/etc/security/pwquality.conf.d/60-rackward-hardened.conf',
    mode: 0o644,
    text: 'minlen = 14\nminclass = 3\ndictcheck = 1\n',
  },
  { path: '/etc/audit/rules.d/60-rackward-hardened.rules', mode: 0o640, text: AUDIT_RULES },
  { path: '/etc/issue.net', mode: 0o644, text: BANNER },
  { path: '/etc/issue', mode: 0o644, text: BANNER },
  { path: HARDENING_CHECK, mode: 0o755, text: checkScript() },
]

const COMMANDS: readonly string[] = [
  // Not every version has a line for each.
  "sed -i -E '/^[[:space:]]*(UMASK|HOME_MODE|PASS_MAX_DAYS|PASS_MIN_DAYS)[[:space:]]/d' /etc/login.defs",
  "printf '%s\\n' 'UMASK 027' 'HOME_MODE 0750' 'PASS_MAX_DAYS 365' 'PASS_MIN_DAYS 1' >> /etc/login.defs",
  "sed -i -E 's/^#?[[:space:]]*auth[[:space:]]+required[[:space:]]+pam_wheel\\.so.*/auth required pam_wheel.so use_uid group=sudo/' /etc/pam.d/su",
  'useradd -D -f 30',
  'chmod 0600 /etc/ssh/sshd_config',
  'passwd --quiet --lock root',
  'systemctl mask --quiet ctrl-alt-del.target',
  'systemctl enable --quiet auditd.service apparmor.service',
]

const grep = (line: string, path: string) => `grep -qxF '${line}' ${path}`

export const HARDENING: readonly Setting[] = [
  ...MODULES.map((name) => ({
    id: `module-${name}`,
    says: `the kernel module ${name} cannot be loaded`,
    check: grep(`install ${name} /bin/false`, '/etc/modprobe.d/60-rackward-hardened.conf'),
  })),
  ...Object.entries(SYSCTLS).map(([key, value]) => ({
    id: `sysctl-${key}`,
    says: `${key} is ${value}`,
    // In a tree that nobody has booted, the values are those of the machine that builds.
    check: `if [ -d /run/systemd/system ]; then [ "$(sysctl -n ${key})" = ${value} ]; else ${grep(`${key} = ${value}`, '/etc/sysctl.d/99-rackward-hardened.conf')}; fi`,
  })),
  ...Object.entries(SSHD).map(([key, value]) => ({
    id: `sshd-${key}`,
    says: `sshd: ${key} is ${value}`,
    check: `printf '%s\\n' "$SSHD" | grep -qxiF '${key} ${value}'`,
  })),
  {
    id: 'core-limit',
    says: 'programs write no core files',
    check: `${grep('* hard core 0', '/etc/security/limits.d/60-rackward-hardened.conf')} && ${grep('Storage=none', '/etc/systemd/coredump.conf.d/60-rackward-hardened.conf')}`,
  },
  {
    id: 'journal-persistent',
    says: 'the journal is kept on the disk, 1 GB at most',
    check: grep('Storage=persistent', '/etc/systemd/journald.conf.d/60-rackward-hardened.conf'),
  },
  {
    id: 'sudo-pty',
    says: 'sudo runs commands on a terminal of their own',
    check: grep('Defaults use_pty', '/etc/sudoers.d/60-rackward-hardened'),
  },
  {
    id: 'sudo-log',
    says: 'sudo writes /var/log/sudo.log',
    check: `${grep('Defaults logfile="/var/log/sudo.log"', '/etc/sudoers.d/60-rackward-hardened')} && visudo -cq`,
  },
  {
    id: 'su-group',
    says: 'only members of the group sudo may use su',
    check: grep('auth required pam_wheel.so use_uid group=sudo', '/etc/pam.d/su'),
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
    check: `${grep('minlen = 14', '/etc/security/pwquality.conf.d/60-rackward-hardened.conf')} && grep -q pam_pwquality.so /etc/pam.d/common-password`,
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
    check: `! find / -xdev \\( -path /tmp -o -path /var/tmp -o -path /proc -o -path /sys -o -path /dev -o -path /run \\) -prune -o -type f -perm -0002 -print | grep -q .`,
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
    says: 'auditd starts with the system, and records changes of accounts, of sudo, of sshd, of the clock and of kernel modules',
    check:
      'systemctl is-enabled -q auditd.service && grep -q "k identity" /etc/audit/rules.d/60-rackward-hardened.rules',
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
  ...files().map(
    ({ path, mode, text }) =>
      `mkdir -p "$1${path.slice(0, path.lastIndexOf('/'))}" && printf %s ${quoted(text)} > "$1${path}" && chmod ${octal(mode)} "$1${path}"`,
  ),
  ...COMMANDS.map((command) => `chroot "$1" sh -ec ${quoted(command)}`),
]
