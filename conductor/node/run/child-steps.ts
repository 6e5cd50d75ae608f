/** Carries out the present step of a node on one of its children, and waits until the child is done. May be repeated
 *  after a crash. */
import { until, type Clock } from '../../../kit/clock.ts'
import { Fault } from '../../../kit/fault.ts'
import { fakeStep } from '../../fake/steps.ts'
import type { Store } from '../../store/port.ts'
import { isPowerStep, POWER_STEPS } from '../policy/child-steps.ts'
import { locked } from '../policy/guards.ts'
import { modeWaitWhy } from '../policy/firmware-target.ts'
import type { PlannedStep } from '../policy/steps.ts'
import { currentStep, isLocked, type NodeRecord } from '../record.ts'
import type { Worker } from './worker.ts'

export interface ChildStepParts {
  readonly store: Store
  readonly clock: Clock
  /** For all that a child may owe: a restart with every try of it. */
  readonly timeoutMs: number
}

interface ChildStep {
  readonly node: NodeRecord
  /** UUID of the child. */
  readonly child: string
  /** The step is not wanted any more. */
  readonly signal: AbortSignal
}

const LOOK_MS = 100

export class ChildSteps {
  private readonly parts: ChildStepParts
  private worker: Pick<Worker, 'dispatch' | 'change'> | undefined

  constructor(parts: ChildStepParts) {
    this.parts = parts
  }

  /** The worker that moves the children. */
  use(worker: Pick<Worker, 'dispatch' | 'change'>): void {
    this.worker = worker
  }

  /** Throws `node.child` with what went wrong on the child; `node.locked` is tried again. */
  async carryOut(at: ChildStep): Promise<void> {
    const step = currentStep(at.node)
    if (!this.worker) throw new Error('a child step before the worker was made')
    if (!step) return
    // Pending effects of the child come first: they may be of this very step, begun by the conductor before this one.
    await this.unlocked(at)
    if (isPowerStep(step.step)) return this.power(this.worker, POWER_STEPS[step.step], at)
    const nowMs = this.parts.clock.now()
    await this.worker.change(at.child, (child) => changed(child, step, { parent: at.node, nowMs }))
  }

  private async power(
    worker: Pick<Worker, 'dispatch'>,
    target: (typeof POWER_STEPS)[keyof typeof POWER_STEPS],
    at: ChildStep,
  ): Promise<void> {
    await worker.dispatch(at.child, (child) => {
      checkParent(child, at.node)
      return { type: 'power', target }
    })
    const child = await this.unlocked(at)
    const wanted = target === 'power off' ? 'power off' : 'power on'
    if (child.powerState !== wanted || child.lastError !== null)
      throw new Fault(
        'node.child',
        `"${target}" on the child node ${child.uuid}: ${child.lastError ?? `it is in power state "${child.powerState}"`}`,
      )
  }

  private async unlocked({ child: uuid, signal }: ChildStep): Promise<NodeRecord> {
    const { store, clock, timeoutMs } = this.parts
    const startMs = clock.now()
    const look = async (): Promise<NodeRecord | undefined> => {
      const child = await store.node(uuid)
      if (!child) throw new Fault('node.child', `there is no child node ${uuid} any more`)
      const modeWait = modeWaitWhy(child)
      if (!isLocked(child) && modeWait === undefined) return child
      if (clock.now() - startMs < timeoutMs) return undefined
      throw new Fault('node.child', `the child node ${uuid} is still busy: ${modeWait ?? locked(child).detail}`)
    }
    return until(look, { what: `child node ${uuid}`, timeoutMs: timeoutMs * 2, everyMs: LOOK_MS, clock, signal })
  }
}

function changed(child: NodeRecord, step: PlannedStep, at: { parent: NodeRecord; nowMs: number }): NodeRecord {
  checkParent(child, at.parent)
  if (isLocked(child)) throw locked(child)
  return { ...child, ...fakeStep(child, step, at.nowMs) }
}

function checkParent(child: NodeRecord, parent: NodeRecord): void {
  if (child.parentNode !== parent.uuid)
    throw new Fault('node.child', `node ${child.uuid} is no child node of ${parent.uuid} any more`)
}
