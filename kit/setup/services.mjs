/** Packages that the tests need as programs, and whose services must not run on this machine: a DHCP server that Debian
 *  starts at installation would answer on the user's own network. */
import { spawnSync } from 'node:child_process'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'

/** Debian's maintainer scripts ask this program before they start a service (invoke-rc.d(8)); 101: not allowed. */
const POLICY = '/usr/sbin/policy-rc.d'

/** Runs `install` while no service is started. A policy that is there already stays as it is. */
export function withoutServices(install) {
  const own = !existsSync(POLICY)
  if (own) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    return install()
  } finally {
    if (own) rmSync(POLICY, { force: true })
  }
}

/** Keeps the services of packages from starting at the next boot: units of systemd and scripts of System V. */
export function disableServices(packages) {
  const files = spawnSync('dpkg-query', ['-L', ...packages], { encoding: 'utf8' }).stdout.split('\n')
  const names = (pattern) => files.filter((file) => pattern.test(file)).map((file) => basename(file))
  for (const script of names(/^\/etc\/init\.d\/[^/]+$/))
    spawnSync('update-rc.d', [script, 'disable'], { stdio: 'ignore' })
  for (const unit of names(/\/systemd\/system\/[^/@]+\.service$/))
    spawnSync('systemctl', ['disable', unit], { stdio: 'ignore' })
}
