/** `rackward fence-agent`, installed as fence_rackward: a fence agent for Pacemaker, oVirt and others that speak the
 *  protocol of ClusterLabs' agents. */
import { text } from 'node:stream/consumers'
import { readFile } from 'node:fs/promises'
import { readPrivateFile } from '../../kit/files.ts'
import { systemClock } from '../../kit/clock.ts'
import { runOk } from '../../kit/run.ts'
import { CliError } from '../error.ts'
import { lines, print } from '../show.ts'
import { openApi, type Place } from '../server.ts'
import { fence, list } from './act.ts'
import { metadata } from './metadata.ts'
import { fromInput, fromWords, mustHave, OPTIONS, secondsOf, type FenceOptions } from './options.ts'

const SCRIPT_MS = 10_000
/** Any failure: 2 would say that the power is off. */
const FAILED = 1

export async function runFenceAgent(words: readonly string[]): Promise<void> {
  try {
    process.exitCode = await act(words.length > 0 ? fromWords(words) : fromInput(await text(process.stdin)))
  } catch (error) {
    process.stderr.write(`fence_rackward: ${lines((error as Error).message)}\n`)
    process.exitCode = FAILED
  }
}

/** Answers the exit status. */
export async function act(options: FenceOptions): Promise<number> {
  const { action } = options
  if (action === 'metadata') {
    print(metadata().trimEnd())
    return 0
  }
  mustHave(options)
  if (action === 'validate-all') return 0
  const api = openApi(await placeOf(options))
  if (action === 'list' || action === 'monitor') {
    const nodes = await list({ api })
    if (action === 'list') print(nodes.trimEnd())
    return 0
  }
  if (action === 'off' || action === 'reboot') await systemClock.sleep(secondsOf(options, 'delay') * 1000)
  const timeoutMs = secondsOf(options, 'power_timeout') * 1000
  return fence(action, { api, clock: systemClock, plug: options.plug ?? '', timeoutMs })
}

async function placeOf(options: FenceOptions): Promise<Place> {
  const { ip = '', ipport = OPTIONS.ipport.fallback, ssl, username, cacert } = options
  const scheme = ['1', 'yes', 'true', 'on'].includes(ssl?.toLowerCase() ?? '') ? 'https' : 'http'
  const host = ip.includes(':') && !ip.startsWith('[') ? `[${ip}]` : ip
  if (!URL.canParse(`${scheme}://${host}:${ipport}`) || /[/?#@\\]/.test(ip))
    throw new CliError('usage', `ip: ${JSON.stringify(ip.slice(0, 80))} is no address`)
  const password = await passwordOf(options)
  return {
    url: new URL(`${scheme}://${host}:${ipport}`),
    ...(username === undefined ? {} : { user: username }),
    ...(password === undefined ? {} : { password }),
    ...(cacert === undefined ? {} : { ca: await readFile(cacert) }),
  }
}

async function passwordOf(options: FenceOptions): Promise<string | undefined> {
  const { password_file: file, password_script: script } = options
  if (file !== undefined) return (await readPrivateFile(file)).trimEnd()
  if (script !== undefined) return (await runOk([script], { timeoutMs: SCRIPT_MS })).split('\n')[0]
  return options.password
}
