/** The files that `--hardened` writes into a Debian image, and the values that stand in them. Pure. */

export interface HardenedFile {
  readonly path: string
  readonly mode: number
  readonly text: string
}

/** File systems and protocols that a server has no use for. */
export const MODULES = ['cramfs', 'freevxfs', 'hfs', 'hfsplus', 'jffs2', 'dccp', 'rds', 'sctp', 'tipc'] as const

export const SYSCTLS: Readonly<Record<string, number>> = {
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
export const SSHD: Readonly<Record<string, string>> = {
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
export const BANNER = 'Authorized use only. What is done here is recorded.\n'
export const lines = (all: readonly string[]): string => `${all.join('\n')}\n`
/** Prints each setting with `ok` or `FAILED`; exit status 1: one failed. */
export const HARDENING_CHECK = '/usr/lib/rackward/hardening-check'

/** Where the profile writes. */
export const AT = {
  modules: '/etc/modprobe.d/60-rackward-hardened.conf',
  sysctl: '/etc/sysctl.d/99-rackward-hardened.conf',
  sshd: '/etc/ssh/sshd_config.d/00-rackward-hardened.conf',
  limits: '/etc/security/limits.d/60-rackward-hardened.conf',
  coredump: '/etc/systemd/coredump.conf.d/60-rackward-hardened.conf',
  journald: '/etc/systemd/journald.conf.d/60-rackward-hardened.conf',
  sudo: '/etc/sudoers.d/60-rackward-hardened',
  quality: '/etc/security/pwquality.conf.d/60-rackward-hardened.conf',
  audit: '/etc/audit/rules.d/60-rackward-hardened.rules',
} as const

export const HARDENED_PACKAGES: readonly string[] = ['auditd', 'apparmor', 'libpam-pwquality']
/** The kernel audits what runs before auditd as well. */
export const HARDENED_KERNEL_ARGS = 'audit=1 audit_backlog_limit=8192 apparmor=1 security=apparmor'
/** Root's password stays locked, and its keys are refused as well. */
export const HARDENED_CLOUD_CFG = 'disable_root: true\nssh_pwauth: false\n'
export const HARDENED_FSTAB =
  'tmpfs /tmp tmpfs nosuid,nodev,mode=1777,size=50% 0 0\ntmpfs /dev/shm tmpfs nosuid,nodev,noexec 0 0\n'

/** `check`: the script of HARDENING_CHECK. */
export const hardenedFiles = (check: string): HardenedFile[] => [
  {
    path: AT.modules,
    mode: 0o644,
    text: lines(MODULES.flatMap((name) => [`blacklist ${name}`, `install ${name} /bin/false`])),
  },
  {
    // The last file wins, also over those of packages.
    path: AT.sysctl,
    mode: 0o644,
    text: lines(Object.entries(SYSCTLS).map(([key, value]) => `${key} = ${value}`)),
  },
  // The first value counts for sshd: before the file of cloud-init.
  { path: AT.sshd, mode: 0o600, text: lines(Object.entries(SSHD).map(([key, value]) => `${key} ${value}`)) },
  { path: AT.limits, mode: 0o644, text: '* hard core 0\n' },
  {
    path: AT.coredump,
    mode: 0o644,
    text: '[Coredump]\nStorage=none\nProcessSizeMax=0\n',
  },
  {
    path: AT.journald,
    mode: 0o644,
    text: '[Journal]\nStorage=persistent\nCompress=yes\nSystemMaxUse=1G\n',
  },
  {
    path: AT.sudo,
    mode: 0o440,
    text: 'Defaults use_pty\nDefaults logfile="/var/log/sudo.log"\n',
  },
  {
    path: AT.quality,
    mode: 0o644,
    text: 'minlen = 14\nminclass = 3\ndictcheck = 1\n',
  },
  { path: AT.audit, mode: 0o640, text: AUDIT_RULES },
  { path: '/etc/issue.net', mode: 0o644, text: BANNER },
  { path: '/etc/issue', mode: 0o644, text: BANNER },
  { path: HARDENING_CHECK, mode: 0o755, text: check },
]
