/** A conductor with the web console and a practice rack of fake servers, and a browser that looks at it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import bcrypt from 'bcryptjs'
import { chromium, type Browser, type Page } from 'playwright-core'
import { Config } from '../../conductor/config.ts'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { makePerformer } from '../../conductor/start/provisioning.ts'
import { monotonicClock, systemClock, type Clock } from '../../kit/clock.ts'
import { buildUi } from '../../kit/setup/ui.mjs'
import { silentLog } from '../../kit/log.ts'
import { call as plainCall } from '../conductor/client.ts'
import { ROOT } from '../lab/root.ts'

export const LAUNCH = { executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] }
const USERS = {
  anna: { role: 'admin' },
  eye: { role: 'reader' },
  blue: { role: 'operator', project: 'blue' },
} as const

/** What several benches may share. */
export interface Shared {
  /** Where the built console is. */
  readonly ui: string
  /** Where the browser is reached: what a bench opened is closed with its connection. */
  readonly browser: string
  /** Of the conductor, in place of this machine's. */
  readonly clock?: Clock
  readonly monotonic?: Clock
}

const HASTE = 5
const BEGAN_MS = monotonicClock.now()
/** For a conductor that looks at the mesh again and again: each second is a fifth of one. */
export const HASTY: Clock = {
  now: () => BEGAN_MS + (monotonicClock.now() - BEGAN_MS) * HASTE,
  sleep: (ms, signal) => monotonicClock.sleep(ms / HASTE, signal),
  after: (ms, act) => monotonicClock.after(ms / HASTE, act),
}

/** Parts of the conductor that a test acts on in place of a server. */
type Inside = Pick<Parameters<typeof makePerformer>[1], 'store' | 'sightings'>

/** Where the conductor listens (0: anywhere), and what else is configured: the same after a restart. */
interface Place {
  port: number
  /** The directory of the built console. */
  readonly ui: string
  readonly clock: Clock
  readonly monotonic: Clock
  inside?: Inside
  readonly more: Record<string, unknown>
}

export class Bench {
  readonly dir: string
  readonly browser: Browser
  conductor: Conductor
  private readonly at: Place

  private constructor(dir: string, browser: Browser, conductor: Conductor, at: Place) {
    this.dir = dir
    this.browser = browser
    this.conductor = conductor
    this.at = at
  }

  /** `more` goes into the configuration of the conductor. Without `shared`, the bench has a browser of its own. */
  static async start(more: Record<string, unknown> = {}, shared?: Shared): Promise<Bench> {
    const dir = await mkdtemp(join(tmpdir(), 'rackward-web-'))
    const opened = shared ? chromium.connect(shared.browser) : chromium.launch(LAUNCH)
    const ui = shared?.ui ?? join(dir, 'ui')
    if (!shared) await buildUi(ROOT, ui)
    const hash = bcrypt.hashSync('pw', 4)
    await writeFile(
      join(dir, 'htpasswd'),
      Object.keys(USERS)
        .map((user) => `${user}:${hash}\n`)
        .join(''),
    )
    const { clock = systemClock, monotonic = monotonicClock } = shared ?? {}
    const at = { port: 0, ui, more, clock, monotonic }
    const conductor = await Bench.conductorAt(dir, at)
    return new Bench(dir, await opened, conductor, at)
  }

  private static async conductorAt(dir: string, at: Place): Promise<Conductor> {
    const conductor = await startConductor(
      Config.parse({
        data: join(dir, 'data'),
        images: { store: join(dir, 'images') },
        api: {
          listen: [{ address: '127.0.0.1', port: at.port }],
          auth: { strategy: 'http_basic', file: join(dir, 'htpasswd'), users: USERS },
        },
        fake: { delaySeconds: 0.01 },
        limits: { events: { durations: 50 } },
        ...at.more,
      }),
      {
        log: silentLog,
        clock: at.clock,
        monotonic: at.monotonic,
        uiDirectory: at.ui,
        makePerformer(context, parts) {
          at.inside = parts
          return makePerformer(context, parts)
        },
      },
    )
    at.port = Number(new URL(conductor.addresses[0] as string).port)
    return conductor
  }

  get ui(): string {
    return this.at.ui
  }

  get inside(): Inside {
    return this.at.inside as Inside
  }

  get base(): string {
    return `http://127.0.0.1:${this.at.port}`
  }

  /** On the same port and data. */
  again = async (): Promise<void> => void (this.conductor = await Bench.conductorAt(this.dir, this.at))

  call = (method: string, path: string, body?: unknown) =>
    plainCall(
      method,
      path,
      body,
      {
        'OpenStack-API-Version': 'baremetal latest',
        authorization: `Basic ${Buffer.from('anna:pw').toString('base64')}`,
      },
      this.base,
    )

  async node(name: string, more: Record<string, unknown> = {}): Promise<string> {
    const answer = await this.call('POST', '/v1/nodes', { name, driver: 'fake-hardware', ...more })
    if (answer.status !== 201) throw new Error(`node ${name}: ${JSON.stringify(answer.body)}`)
    return String(answer.body.uuid)
  }

  /** A page in a profile of its own, with what the browser found wrong with it. */
  async page(
    options: { width?: number; height?: number; dark?: boolean } = {},
  ): Promise<{ page: Page; said: string[] }> {
    const context = await this.browser.newContext({
      viewport: { width: options.width ?? 1280, height: options.height ?? 800 },
      colorScheme: options.dark ? 'dark' : 'light',
    })
    const page = await context.newPage()
    const said: string[] = []
    page.on('console', (message) => {
      // A refused login and a cut connection are answers, which the page shows; what is wrong with the page is not.
      const isAnswer = message.text().startsWith('Failed to load resource')
      if (!isAnswer && ['error', 'warning'].includes(message.type())) said.push(message.text())
    })
    page.on('pageerror', (error) => said.push(String(error)))
    return { page, said }
  }

  /** As the form does (console.test.ts fills it in), and shows a page. */
  async logIn(page: Page, user = 'anna', path = '/ui/'): Promise<void> {
    const answer = await page.request.post(`${this.base}/rackward/v1/session`, { data: { user, password: 'pw' } })
    if (!answer.ok()) throw new Error(`the login of ${user}: ${answer.status()} ${await answer.text()}`)
    await page.goto(`${this.base}${path}`)
    await page.getByText('live', { exact: true }).waitFor()
  }

  async stop(): Promise<void> {
    await this.browser.close()
    await this.conductor.stop()
    await rm(this.dir, { recursive: true, force: true })
  }
}
