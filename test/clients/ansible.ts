/** Ansible's modules of openstack.cloud: a node's whole life without a login and with a password, and each spelling of
 *  clouds.yaml. */
import { join } from 'node:path'
import { ROOT } from '../lab/root.ts'
import { debianRoot, versionsOf } from './debian-root.ts'
import { SPELLINGS, type Ground } from './ground.ts'
import { runPlaybook } from './playbook.ts'
import type { Check } from './report.ts'

const PLAYBOOK_LIMIT_MS = 10 * 60_000

export async function ansible(
  ground: Ground,
  say: (line: string) => void,
): Promise<{ versions: string; checks: Check[] }> {
  const root = await debianRoot(say)
  const at = {
    work: await ground.workOf('ansible'),
    timeoutMs: PLAYBOOK_LIMIT_MS,
    lend: { playbooks: join(ROOT, 'test/clients/ansible') },
  }
  const book = (name: string, title: string, variables: Record<string, unknown>) =>
    runPlaybook(root, { title, path: `/lent/playbooks/${name}.yml`, variables }, at)

  const logins = await book('logins', 'logins', { clouds: [...SPELLINGS, 'basic'], wrong: 'wrong' })
  const lives = []
  const { url, user, password } = ground.basic
  const clouds = [
    { cloud: 'endpoint', api: ground.noauth, user, password },
    { cloud: 'basic', api: url, user, password },
  ]
  for (const [n, login] of clouds.entries()) {
    const macs = { mac: `52:54:00:a5:0${n}:01`, second_mac: `52:54:00:a5:0${n}:02` }
    const names = { node: `ansible-${n}`, template: `CUSTOM_ANSIBLE_${n}` }
    lives.push(...(await book('life', `life, ${login.cloud}`, { ...login, ...names, ...macs })))
  }
  return { versions: await versionsOf(root, at.work), checks: [...logins, ...lives] }
}
