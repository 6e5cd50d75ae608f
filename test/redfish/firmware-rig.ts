/** For tests of firmware updates: a vendor's server with files, conductors that may fetch them, and the step. */
import { createHash } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll } from 'vitest'
import type { FaultName } from './faults.ts'
import { Rig, type RigOptions } from './rig.ts'

const FILES: Readonly<Record<string, string>> = {
  '/bios.bin': 'BIOS 2.2.0',
  '/bmc.bin': 'BMC 1.1.0',
  '/nic.bin': 'NIC 20.6.0',
}
const checksumOf = (path: string) =>
  `sha256:${createHash('sha256')
    .update(FILES[path] ?? '')
    .digest('hex')}`

interface Setting {
  readonly component: string
  readonly file: string
  readonly checksum?: string
  readonly wait?: number
}

/** Each test has a conductor and a BMC of its own, which end with the file; they run beside each other, since nearly
 *  all of their time is waiting. */
export function firmwareBench() {
  const rigs: Rig[] = []
  let vendor: Server | undefined
  let source = ''

  beforeAll(async () => {
    const server = createServer((request, response) => {
      const path = (request.url ?? '').split('?')[0] ?? ''
      if (path === '/moved.bin') return void response.writeHead(302, { location: 'http://198.51.100.1/' }).end()
      response.writeHead(FILES[path] ? 200 : 404).end(FILES[path] ?? '')
    })
    vendor = server
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    source = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterAll(() => void vendor?.close())
  afterAll(() => Promise.all(rigs.map((one) => one.close())))

  async function open(faults: readonly FaultName[] = [], more: RigOptions & { timeoutSeconds?: number } = {}) {
    const { timeoutSeconds = 60 } = more
    const firmware = {
      listen: { address: '127.0.0.1', port: 0 },
      sources: [source],
      timeoutSeconds,
      bmcTimeoutSeconds: timeoutSeconds,
    }
    const own = await Rig.open({
      ...more,
      faults,
      config: {
        firmware,
        provision: { bmcLookSeconds: 0.2, effectRetrySeconds: 0.1 },
        powerSync: { everySeconds: 1, lostAfter: 1 },
      },
    })
    rigs.push(own)
    return { own, bmc: own.bmc, cleaned: (steps: unknown[]) => own.cleaned(steps), api: own.api }
  }

  const update = (...settings: Setting[]) => [
    {
      interface: 'firmware',
      step: 'update',
      args: {
        settings: settings.map(({ component, file, checksum, ...more }) => ({
          component,
          url: `${source}${file}`,
          checksum: checksum ?? checksumOf(file.split('?')[0] ?? ''),
          ...more,
        })),
      },
    },
  ]
  return { open, update }
}
