/** The kubelets of a test's nodes: they renew leases, say that pods of theirs run, and end those that are deleted. One
 *  that is silenced does nothing more, as on a node without power. */
import { systemClock } from '../../../kit/clock.ts'
import type { Cluster, Doc } from '../cluster.ts'

const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases'
const MERGE = { 'content-type': 'application/merge-patch+json' }
const LEASE_EVERY_MS = 5_000
const EVERY_MS = 100

export class Kubelets {
  readonly living = new Set<string>()
  private readonly cluster: Cluster
  private readonly renewedMs = new Map<string, number>()
  private stopped = false
  private readonly loop: Promise<void>

  constructor(cluster: Cluster) {
    this.cluster = cluster
    this.loop = this.work()
  }

  async add(name: string, bootID: string): Promise<void> {
    const spec = { holderIdentity: name, leaseDurationSeconds: 40, renewTime: now() }
    await this.cluster.ok('POST', LEASES, {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name },
      spec,
    })
    await this.cluster.addNode(name, bootID)
    this.living.add(name)
  }

  async stop(): Promise<void> {
    this.stopped = true
    await this.loop
  }

  private async work(): Promise<void> {
    while (!this.stopped) {
      // An answer that is late or lost is asked for again, as kubelets do.
      await this.once().catch(() => undefined)
      await systemClock.sleep(EVERY_MS)
    }
  }

  private async once(): Promise<void> {
    for (const name of this.living) {
      if (systemClock.now() - (this.renewedMs.get(name) ?? 0) < LEASE_EVERY_MS) continue
      await this.cluster.ask('PATCH', `${LEASES}/${name}`, { spec: { renewTime: now() } }, MERGE)
      this.renewedMs.set(name, systemClock.now())
    }
    for (const pod of await this.cluster.pods()) if (this.living.has(pod.spec.nodeName)) await this.look(pod)
  }

  private async look({ metadata, status }: Doc): Promise<void> {
    const { name, uid } = metadata
    if (metadata.deletionTimestamp === undefined) {
      if (status.phase === 'Pending') await this.cluster.podStatus(name, 'True')
      return
    }
    const body = { gracePeriodSeconds: 0, preconditions: { uid } }
    await this.cluster.ask('DELETE', `/api/v1/namespaces/default/pods/${name}`, body)
  }
}

const now = (): string => new Date(systemClock.now()).toISOString().replace('Z', '000Z')
