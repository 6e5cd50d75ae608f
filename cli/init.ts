/** `rackward init`: five questions, answered by a person, by options, or as it is usual on this machine, become the
 *  configuration of a conductor that passes its own check, with its users, certificate and clouds.yaml. */
import { hostname } from 'node:os'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { parseConfig } from '../conductor/config.ts'
import { selfSigned } from '../kit/certificate.ts'
import { systemRandom } from '../kit/random.ts'
import { quietSockopt } from './daemon.ts'
import { CliError } from './error.ts'
import { askAll, type Asker, type Given } from './init/ask.ts'
import { certificateNames, cloudsOf, configText, configurationOf, consoleUrl, filesOf } from './init/answers.ts'
import type { Answers, Network, Places } from './init/answers.ts'
import { findDhcpServers, findNetworks, passwordFileProblem, serviceOwner } from './init/machine.ts'
import { checkWritable, packageUser, writeAll, type NewFile } from './init/write.ts'
import { shellWord } from './shell-word.ts'
import { print } from './show.ts'
import { passwordLine, randomPassword } from './user.ts'
import { stringify } from './yaml.ts'

export type InitOptions = Given & { readonly out: string; readonly data: string }

const CERTIFICATE_DAYS = 3650
const PACKAGE_DIR = '/etc/rackward'
const note = (line: string) => void process.stderr.write(`${line}\n`)

export async function init(options: InitOptions): Promise<void> {
  quietSockopt()
  const places: Places = { configDir: resolve(options.out), dataDir: resolve(options.data) }
  const files = filesOf(places)
  const before = await packageUser(files)
  await checkWritable(places.configDir)
  if (before && options.user !== undefined && options.user !== before.user)
    throw new CliError('usage', `--user: ${files.users} has the user ${before.user} already; more: rackward user set`)
  const answers = await answersOf(before ? { ...options, user: before.user } : options)

  const text = configText(configurationOf(answers, places), stringify)
  parseConfig(text, files.config)
  const password = before?.password ?? randomPassword(systemRandom)
  const names = certificateNames(answers, hostname())
  const tls = await selfSigned({ commonName: 'rackward', days: CERTIFICATE_DAYS, names })
  const wanted: NewFile[] = [
    { path: files.key, text: tls.key, mode: 0o600, isOfService: true },
    { path: files.cert, text: tls.cert, mode: 0o644 },
    ...(before
      ? []
      : [
          {
            path: files.users,
            text: `${await passwordLine(answers.user, password)}\n`,
            mode: 0o600,
            isOfService: true,
          },
        ]),
    { path: files.clouds, text: stringify(cloudsOf(answers.user, password, places)), mode: 0o600 },
    { path: files.config, text, mode: 0o644 },
  ]
  await writeAll(wanted, await serviceOwner())
  print(nextText(answers, { places, written: wanted }))
}

async function answersOf(given: Given): Promise<Answers> {
  const isPerson = process.stdin.isTTY === true && process.stderr.isTTY === true
  const reader = isPerson && !given.yes ? createInterface({ input: process.stdin, output: process.stderr }) : undefined
  const lines = reader?.[Symbol.asyncIterator]()
  const asker: Asker = {
    prompt:
      reader &&
      (async (text) => {
        reader.setPrompt(text)
        reader.prompt()
        const line = await lines?.next()
        return line?.done === true ? undefined : line?.value
      }),
    say: note,
    async look(found, { network }) {
      note(`looking for other DHCP servers on ${network?.name} (4 s)`)
      return { ...found, dhcpServers: await findDhcpServers(network as Network) }
    },
  }
  try {
    return await askAll(given, { networks: findNetworks(), passwordFile: passwordFileProblem }, asker)
  } finally {
    reader?.close()
  }
}

function nextText(answers: Answers, at: { places: Places; written: readonly NewFile[] }): string {
  const { places, written } = at
  const files = filesOf(places)
  const { bmc } = answers
  const isPackages = places.configDir === PACKAGE_DIR
  const login = bmc
    ? `--driver ${bmc.driver} --bmc ADDRESS --user ${shellWord(bmc.user)} --password-file ${shellWord(bmc.passwordFile)}`
    : '--driver ipmi --bmc ADDRESS --user USER --password-file FILE'
  const steps = [
    [
      'the ramdisk',
      `rackward image build ramdisk --cache ${shellWord(places.dataDir)} --link ${shellWord(files.ramdisk)}`,
    ],
    [
      'an image',
      `rackward image build debian-12 --cache ${shellWord(places.dataDir)} --store ${shellWord(files.images)}`,
    ],
    [
      'the conductor',
      isPackages ? 'systemctl restart rackward-conductor' : `rackward conductor --config ${shellWord(files.config)}`,
    ],
    ...(isPackages
      ? []
      : [['its client', `export OS_CLIENT_CONFIG_FILE=${shellWord(files.clouds)} OS_CLOUD=rackward`]]),
    ['what is wrong?', `rackward doctor --config ${shellWord(files.config)}`],
    ['a server', `rackward node enroll u01 ${login} --mac MAC`],
    ['the console', `${consoleUrl(answers)}  (user ${answers.user}; the password is in ${files.clouds})`],
  ]
  return `written, and accepted by --check-config:
${written.map(({ path, mode }) => `  ${mode.toString(8)}  ${path}`).join('\n')}

Next:
${steps.map(([what = '', how], n) => `  ${n + 1}. ${what.padEnd(15)} ${how}`).join('\n')}
A mesh of hosts that look after each other: docs/mesh.md`
}
