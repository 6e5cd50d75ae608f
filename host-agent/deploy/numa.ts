/** Which memory, cores and network cards are near each other, as the kernel shows it (NUMA). */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Numa } from '../../conductor/api/agent-wire.ts'
import { readText } from './sysfs.ts'

/** Null where the kernel has no NUMA nodes. */
export async function readNuma(nics: readonly string[], sys = '/sys'): Promise<Numa | null> {
  const base = join(sys, 'devices/system/node')
  const names = (await readdir(base).catch(() => [])).filter((name) => /^node\d+$/.test(name))
  const nodes = names.map((name) => Number(name.slice(4))).sort((a, b) => a - b)
  if (nodes.length === 0) return null

  const numa: Numa = { ram: [], cpus: [], nics: [] }
  for (const node of nodes) {
    const at = join(base, `node${node}`)
    const memory = /MemTotal:\s+(\d+) kB/.exec((await readText(join(at, 'meminfo'))) ?? '')?.[1]
    if (memory !== undefined) numa.ram.push({ node, sizeKb: Number(memory) })
    numa.cpus.push(...(await readCores(node, at)))
  }
  for (const name of nics) {
    const node = await readText(join(sys, 'class/net', name, 'device/numa_node'))
    // -1: a machine with one node need not say which.
    if (node !== null && Number(node) >= 0) numa.nics.push({ name, node: Number(node) })
  }
  return numa
}

async function readCores(node: number, at: string): Promise<Numa['cpus']> {
  const threads = (await readdir(at)).filter((name) => /^cpu\d+$/.test(name)).map((name) => Number(name.slice(3)))
  const cores = new Map<number, number[]>()
  for (const thread of threads.sort((a, b) => a - b)) {
    const core = await readText(join(at, `cpu${thread}`, 'topology/core_id'))
    if (core !== null) cores.set(Number(core), [...(cores.get(Number(core)) ?? []), thread])
  }
  return [...cores].map(([core, siblings]) => ({ core, node, threads: siblings }))
}
