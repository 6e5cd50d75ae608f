/** `rackward init`: every configuration that it writes passes the real parser; questions ask again; nothing is
 *  overwritten. */
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import bcrypt from 'bcryptjs'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { STATUSES } from '../../cli/error.ts'
import { askAll, type Asker, type Given } from '../../cli/init/ask.ts'
import { configText, configurationOf } from '../../cli/init/answers.ts'
import { rankNetworks } from '../../cli/init/machine.ts'
import type { Found } from '../../cli/init/questions.ts'
import { writeAll } from '../../cli/init/write.ts'
import { poolProblem, networkOf, usualPool } from '../../conductor/boot/pool.ts'
import { parseConfig } from '../../conductor/config.ts'
import { CONDUCTOR_CONFIG } from '../../images/packages/scripts.ts'
import { run } from '../../kit/run.ts'
import { RACKWARD_MAIN } from '../lab/root.ts'

const PLACES = { configDir: '/etc/rackward', dataDir: '/var/lib/rackward' }
const FOUND: Found = {
  networks: [{ name: 'eno2', address: '192.0.2.1', prefix: 24, says: '' }],
  dhcpServers: [],
  passwordFile: (path) => (path === '/good' ? undefined : `cannot read ${path}`),
}
const nobody = (found: Found): Asker => ({ prompt: undefined, say: () => undefined, look: async () => found })
/** Answers line after line, and remembers what it was told. */
function person(lines: readonly string[], found = FOUND) {
  const told: string[] = []
  const left = [...lines]
  const asker: Asker = {
    prompt: async (text) => {
      told.push(text)
      return left.shift()
    },
    say: (line) => void told.push(line),
    look: async () => found,
  }
  return { told, left, asker }
}

const octet = fc.integer({ min: 1, max: 254 })
const network = fc.record({
  name: fc.stringMatching(/^[A-Za-z0-9_.-]{1,15}$/),
  address: fc.tuple(fc.integer({ min: 1, max: 223 }), octet, octet, octet).map((parts) => parts.join('.')),
  prefix: fc.integer({ min: 8, max: 30 }),
  says: fc.constant(''),
})
const given = fc.record(
  {
    yes: fc.constant(true),
    dhcp: fc.constantFrom('own', 'proxy', 'none'),
    bmc: fc.constantFrom('none', 'ipmi admin /good', 'redfish,root,/good'),
    user: fc.oneof(fc.constantFrom('admin', 'true', '1e3', "a'b", '#x', '- y'), fc.string({ maxLength: 20 })),
  },
  { requiredKeys: ['yes'] },
)

test('every configuration that it makes passes the parser of the conductor, and says what was answered', async () => {
  let accepted = 0
  await fc.assert(
    fc.asyncProperty(network, given, async (one, options) => {
      const found = { ...FOUND, networks: [one] }
      const answers = await askAll(options as Given, found, nobody(found)).catch((error: Error) => error)
      // Refusals name the option: a user with a colon, a subnet without room.
      if (answers instanceof Error) {
        expect(answers.message).toMatch(/^--(user|pool): /)
        return
      }
      accepted += 1
      const text = configText(configurationOf(answers, PLACES), stringify)
      const config = parseConfig(text, 'conductor.yaml')
      expect(config.api.auth.strategy).toBe('http_basic')
      expect(config.boot?.subnets.map(({ mode }) => mode)).toEqual(answers.dhcp === 'none' ? [] : [answers.dhcp])
      expect(config.boot?.interfaces.map(({ name }) => name)).toEqual(answers.dhcp === 'none' ? [] : [one.name])
    }),
    { numRuns: 500 },
  )
  expect(accepted).toBeGreaterThan(200)
})

test('the usual pool can be leased wherever there is room, and is never the own address', () => {
  fc.assert(
    fc.property(network, ({ address, prefix }) => {
      const cidr = networkOf(address, prefix)
      const host = Number(address.split('.')[3])
      const size = 2 ** (32 - prefix)
      // An address that is the network's own is nobody's.
      fc.pre(prefix > 24 ? host % size !== 0 && host % size !== size - 1 : true)
      expect(poolProblem(usualPool(cidr, address), { cidr, own: address })).toBeUndefined()
    }),
  )
  expect(usualPool('192.0.2.0/24', '192.0.2.1')).toEqual({ first: '192.0.2.100', last: '192.0.2.199' })
  expect(usualPool('192.0.2.0/30', '192.0.2.2')).toEqual({ first: '192.0.2.1', last: '192.0.2.1' })
})

test.each([
  [['nosuch', ''], 'network: no interface "nosuch" with an IPv4 address is here; there are: eno2 (192.0.2.1)'],
  [['', 'dynamic', 'own'], 'dhcp: "dynamic" is none of own, proxy, none'],
  [['', 'own', '192.0.2.9', ''], 'pool: answer FIRST-LAST'],
  [['', 'own', '192.0.2.1-192.0.2.9', ''], "pool: 192.0.2.1 is this machine's own address"],
  [['', 'own', '192.0.3.1-192.0.3.9', ''], 'pool: 192.0.3.1 is outside of 192.0.2.0/24'],
  [['', 'own', '192.0.2.90-192.0.2.80', ''], 'pool: 192.0.2.90 comes after 192.0.2.80'],
  [['', '', '', 'ilo admin /good', 'none'], 'bmc: the driver "ilo" is none of ipmi, redfish'],
  [['', '', '', 'ipmi admin', 'none'], 'bmc: answer DRIVER USER FILE, such as ipmi admin /root/bmc.password'],
  [['', '', '', 'ipmi admin /bad', 'ipmi admin /good'], 'bmc: cannot read /bad'],
  [['', '', '', '', 'a:b', ''], 'user: a user has up to 64 characters'],
])('after %j the question names its field and what is wrong, and is asked again', async (lines, words) => {
  const { told, asker } = person([...lines, '', '', '', ''])
  const answers = await askAll({}, FOUND, asker)
  expect(told.filter((line) => line.includes(words))).toHaveLength(1)
  expect(answers.network.name).toBe('eno2')
})

test('another DHCP server makes proxy the usual answer; an input that ends writes nothing', async () => {
  const found = { ...FOUND, dhcpServers: ['192.0.2.254'] }
  const { told, asker } = person(['', '', '', ''], found)
  expect(await askAll({}, FOUND, asker)).toMatchObject({ dhcp: 'proxy', pool: undefined })
  expect(told.join('\n')).toContain('192.0.2.254 answered on eno2')
  await expect(askAll({}, FOUND, person(['', 'own']).asker)).rejects.toThrow('ended at the question for pool')
})

test.each([
  [undefined, 'own', 'only root may look for other DHCP servers, so nobody looked'],
  [[], 'own', 'no DHCP server answered on eno2'],
  [['192.0.2.254'], 'proxy', '192.0.2.254 answered on eno2'],
])('with --yes it says what its choice of DHCP rests on: %j', async (dhcpServers, dhcp, words) => {
  const { told, asker } = person([], { ...FOUND, dhcpServers })
  expect(await askAll({ yes: true }, FOUND, { ...asker, prompt: undefined })).toMatchObject({ dhcp })
  expect(told).toContain(words)
})

test('a card for servers alone comes before that of the default route, and bridges of containers last', () => {
  const one = (name: string, hasDefaultRoute: boolean, isPhysical: boolean) => ({
    name,
    address: '192.0.2.1',
    prefix: 24,
    hasDefaultRoute,
    isPhysical,
  })
  const all = [
    one('docker0', false, false),
    one('eno1', true, true),
    one('eno2', false, true),
    one('br0', false, false),
  ]
  expect(rankNetworks(all).map(({ name }) => name)).toEqual(['eno2', 'br0', 'eno1', 'docker0'])
})

describe('the program', () => {
  let dir = ''
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rackward-init-'))
  })
  afterEach(() => rm(dir, { recursive: true }))
  const etc = (name: string) => join(dir, 'etc', name)
  const cli = (...args: string[]) =>
    run([process.execPath, RACKWARD_MAIN, ...args], { timeoutMs: 60_000, env: { OS_CLOUD: '' } })
  const init = (...args: string[]) => cli('init', '--out', join(dir, 'etc'), '--data', join(dir, 'data'), ...args)

  test('without a terminal it names every option that is missing, and takes them', async () => {
    const bare = await init()
    expect(bare.code).toBe(STATUSES.usage)
    for (const flag of ['--network', '--dhcp', '--pool', '--bmc', '--user', '--yes'])
      expect(bare.stderr).toContain(flag)
    expect(await readdir(dir)).toEqual([])
    const refused = await init('--yes', '--dhcp', 'proxy', '--pool', '192.0.2.1-192.0.2.2')
    expect([refused.code, refused.stderr]).toEqual([STATUSES.usage, expect.stringContaining('--pool: it has no use')])

    const made = await init('--yes', '--dhcp', 'own', '--user', 'alice')
    expect([made.code, made.stderr]).toEqual([0, expect.any(String)])
    expect((await cli('conductor', '--config', etc('conductor.yaml'), '--check-config')).code).toBe(0)
    for (const name of ['htpasswd', 'api.key', 'clouds.yaml']) expect((await stat(etc(name))).mode & 0o777).toBe(0o600)
    const { auth, cacert } = parse(await readFile(etc('clouds.yaml'), 'utf8')).clouds.rackward
    const [user, hash] = (await readFile(etc('htpasswd'), 'utf8')).trim().split(':')
    expect([user, auth.username, cacert]).toEqual(['alice', 'alice', etc('api.crt')])
    expect(await bcrypt.compare(auth.password, hash as string)).toBe(true)
    expect(made.stdout + made.stderr).not.toContain(auth.password)

    const before = await readFile(etc('conductor.yaml'), 'utf8')
    const again = await init('--yes', '--dhcp', 'proxy')
    expect([again.code, again.stderr]).toEqual([STATUSES.refused, expect.stringContaining('overwrites nothing')])
    expect(await readFile(etc('conductor.yaml'), 'utf8')).toBe(before)
  })

  test('what the Debian package left unchanged gives way, and its user stays', async () => {
    await init('--yes', '--dhcp', 'own')
    for (const name of ['api.key', 'api.crt']) await rm(etc(name))
    await writeFile(etc('conductor.yaml'), CONDUCTOR_CONFIG)
    const users = await readFile(etc('htpasswd'), 'utf8')
    const { code, stderr } = await init('--yes', '--dhcp', 'own')
    expect([code, stderr]).toEqual([0, expect.any(String)])
    expect(await readFile(etc('htpasswd'), 'utf8')).toBe(users)
    expect(await readFile(etc('conductor.yaml'), 'utf8')).toContain('subnets:')

    // A key that is left from before is what is in the way, and is named.
    await writeFile(etc('conductor.yaml'), CONDUCTOR_CONFIG)
    await rm(etc('api.crt'))
    const again = await init('--yes', '--dhcp', 'own')
    expect([again.code, again.stderr]).toEqual([
      STATUSES.refused,
      expect.stringContaining(`${etc('api.key')} is there`),
    ])
  })

  test('a directory that cannot be written is said before anything is asked', async () => {
    await chmod(dir, 0o500)
    // Without the capabilities that let root write everywhere.
    const bound = process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-dac_override,-dac_read_search'] : []
    const argv = [...bound, process.execPath, RACKWARD_MAIN, 'init', '--out', etc('deep')]
    const { code, stderr } = await run(argv, { timeoutMs: 60_000 })
    await chmod(dir, 0o700)
    expect([code, stderr]).toEqual([STATUSES.failed, expect.stringContaining(`cannot write into ${dir}: EACCES`)])
    expect(stderr).not.toContain('--network')
  })

  test('a directory that no file can be made in is said, even to root, and ends at once', async () => {
    const { code, stderr } = await cli('init', '--yes', '--dhcp', 'own', '--out', '/proc/rackward')
    expect([code, stderr]).toEqual([STATUSES.failed, expect.stringContaining('cannot write into /proc: ')])
  })

  test('the commands that it prints can be pasted, whatever the paths are', async () => {
    const { code, stdout } = await cli('init', '--yes', '--dhcp', 'own', '--out', join(dir, "the rack's"))
    const quoted = `'${dir}/the rack'\\''s/conductor.yaml'`
    expect([code, stdout]).toEqual([0, expect.stringContaining(`rackward conductor --config ${quoted}\n`)])
  })

  test('on a terminal it asks, and a file of passwords that others can read is refused', async () => {
    const password = join(dir, 'password')
    await writeFile(password, 'secret\n')
    await chmod(password, 0o644)
    const command = `${process.execPath} ${RACKWARD_MAIN} init --out ${dir}/etc --data ${dir}/data --dhcp own`
    const { code, stdout } = await run(['script', '-qec', command, '/dev/null'], {
      timeoutMs: 60_000,
      input: `wrong\n\n\nipmi admin ${password}\nnone\nbob\n`,
    })
    expect([code, stdout]).toEqual([0, expect.stringContaining('1. Which interface')])
    expect(stdout).toContain(`bmc: ${password} can be read by others (mode 644): chmod 600 ${password}`)
    expect(await readFile(etc('htpasswd'), 'utf8')).toMatch(/^bob:\$2y\$/)
    expect(stdout).not.toContain('secret')
  })

  test('after a failure in the middle nothing new is left', async () => {
    const file = (name: string) => ({ path: join(dir, name), text: 'x', mode: 0o600 })
    await writeFile(join(dir, 'old'), 'old')
    // Its temporary name is longer than a name can be.
    const files = [file('new'), file('old'), file('n'.repeat(250))]
    await expect(writeAll(files, undefined)).rejects.toThrow('nothing was written')
    expect(await readdir(dir)).toEqual(['old'])
    expect(await readFile(join(dir, 'old'), 'utf8')).toBe('old')
  })
})
