/** Configuration -> an open store: the file in the data directory, or the database server with what it needs to know of
 *  this conductor. */
import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { createSecureContext } from 'node:tls'
import type { Clock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { keyFile, readPrivateFile } from '../../kit/files.ts'
import type { Random } from '../../kit/random.ts'
import type { PostgresConfig } from '../config-store.ts'
import type { DurationLimits } from '../store/durations.ts'
import { refuseForgotten } from '../store/move/mark-of-sqlite.ts'
import { takeLock } from '../store/open.ts'
import type { Seal } from '../store/secrets.ts'
import { SqliteStore } from '../store/sqlite.ts'
import type { Store } from '../store/port.ts'
import type { PostgresOptions } from '../store/postgres/connect.ts'
import { openPostgres } from '../store/postgres/store.ts'
import { hostnameOf, type Context } from './context.ts'

/** The name of the SQLite file in the data directory. */
export const DATABASE = 'rackward.db'
/** Beside it: which database server was the last primary. */
export const TIMELINE = 'postgres-timeline.json'
const ID_BYTES = 16

export interface OpenedStore {
  readonly store: Store
  readonly close: () => Promise<void>
}

export type OpenStore = (
  file: string,
  seal: Seal,
  parts: { clock: Clock; limits: DurationLimits },
) => OpenedStore | Promise<OpenedStore>

export const openSqlite = (...[file, seal, parts]: Parameters<OpenStore>): OpenedStore => {
  const store = new SqliteStore(file, seal, parts)
  return { store, close: () => store.close() }
}

/** The data directory is this process's alone: its conductor may take its own lease over at once. */
export const openPostgresOf =
  (config: PostgresConfig, parts: { monotonic: Clock; random: Random; hostname: string; group: string }): OpenStore =>
  async (file, seal, { clock, limits }) => {
    const lock = takeLock(`${file}.lock`)
    try {
      const store = await openPostgres(await optionsOf(config), {
        clock,
        monotonic: parts.monotonic,
        limits,
        seal,
        timelineFile: join(dirname(file), TIMELINE),
        conductor: await conductorId(dirname(file), parts.hostname, parts.random),
        shared: config.conductors === 'several' ? { hostname: parts.hostname, group: parts.group } : undefined,
      })
      const close = async () => {
        await store.close()
        lock.close()
      }
      try {
        if ((await store.nodeCounts()).length === 0) refuseForgotten(file)
        return { store, close }
      } catch (error) {
        await store.close()
        throw error
      }
    } catch (error) {
      lock.close()
      throw error
    }
  }

/** Who works on the nodes of a database: a copy of the data directory on another machine is another conductor. */
export async function conductorId(data: string, host: string, random: Random): Promise<string> {
  const make = () => random.bytes(ID_BYTES)
  const id = await keyFile(join(data, 'conductor.id'), { lengthBytes: ID_BYTES, make, code: 'config.invalid' })
  return `${host} ${id.toString('hex')}`
}

/** Reads the files that the configuration names. */
export async function optionsOf(config: PostgresConfig): Promise<PostgresOptions> {
  const { url, passwordFile, tls, connections } = config
  const password =
    passwordFile === undefined ? undefined : (await readPrivateFile(passwordFile, 'config.invalid')).trim()
  if (tls === 'off') return { url, password, connections }
  const [ca, cert] = await Promise.all([tls.caFile, tls.certFile].map(optionalFile))
  const key = tls.keyFile === undefined ? undefined : await readPrivateFile(tls.keyFile, 'config.invalid')
  const files = {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  }
  refuseUnusable(files)
  return { url, password, connections, tls: files }
}

/** Node.js passes over a CA that is none, and the handshake of a key that is not that of its certificate throws where
 *  nobody catches it. */
function refuseUnusable({ ca, cert, key }: NonNullable<PostgresOptions['tls']>): void {
  const check = (keys: string, what: () => unknown) => {
    try {
      what()
    } catch (error) {
      throw new Fault('config.invalid', `store.postgres.tls: ${keys}: ${(error as Error).message}`, { cause: error })
    }
  }
  if (ca !== undefined) check('caFile', () => new X509Certificate(ca))
  if ((cert === undefined) !== (key === undefined))
    throw new Fault('config.invalid', 'store.postgres.tls: certFile and keyFile belong together: name both, or neither')
  if (cert !== undefined) check('certFile, keyFile', () => createSecureContext({ cert, key }))
}

const optionalFile = async (path: string | undefined): Promise<string | undefined> =>
  path === undefined
    ? undefined
    : readFile(path, 'utf8').catch((error: Error) => {
        throw new Fault('config.invalid', `store.postgres.tls: cannot read ${path}: ${error.message}`, { cause: error })
      })

/** The one that is configured. */
export const openConfigured = ({ config, monotonic, random }: Context): OpenStore =>
  config.store === 'sqlite'
    ? openSqlite
    : openPostgresOf(config.store.postgres, {
        monotonic,
        random,
        hostname: hostnameOf(config),
        group: config.conductorGroup.toLowerCase(),
      })
