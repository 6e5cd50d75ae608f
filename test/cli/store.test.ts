/** `rackward store migrate` as a person runs it. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { expect, test } from 'vitest'
import { newNode } from '../../conductor/node/record.ts'
import { run } from '../../kit/run.ts'
import { MoveBench } from '../conductor/store-move/bench.ts'
import { Postgres } from '../conductor/postgres.ts'
import { uuid } from '../conductor/store-conformance/bench.ts'
import { RACKWARD_MAIN } from '../lab/root.ts'

test('it shows what was moved and what to do next, and refuses what makes no sense', async () => {
  const server = await Postgres.start()
  const bench = await MoveBench.make(server)
  try {
    const file = join(bench.dir, 'conductor.yaml')
    const { data, images } = bench.config
    const write = (store: unknown) =>
      writeFile(
        file,
        stringify({ data, images: { store: images.store }, api: { auth: { strategy: 'noauth' } }, store }),
      )
    const migrate = (from: string, to: string) =>
      run([process.execPath, RACKWARD_MAIN, 'store', 'migrate', '--from', from, '--to', to, '--config', file], {
        timeoutMs: 60_000,
      })
    await bench.sqlite((store) => store.addNode(newNode({ uuid: uuid(1), driver: 'ipmi' }, 1)))
    await write('sqlite')
    expect(await migrate('sqlite', 'sqlite')).toMatchObject({ code: 2 })
    const unnamed = await migrate('sqlite', 'postgres')
    expect(unnamed).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('store.postgres names no database') as string,
    })

    await write(bench.config.store)
    const moved = await migrate('sqlite', 'postgres')
    expect(moved).toMatchObject({ code: 0, stderr: '' })
    expect(moved.stdout).toMatch(/^nodes: 1 of 1$/m)
    expect(moved.stdout).toMatch(/^nodes +1 +[0-9a-f]{16}$/m)
    expect(moved.stdout).toContain('keep `store.postgres` in the configuration, and start the conductor')
    expect((await migrate('sqlite', 'postgres')).stdout).toContain('were moved before')
    expect(await migrate('postgres', 'sqlite')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('rename it') as string,
    })
  } finally {
    await bench.close()
    await server.stop()
  }
})
