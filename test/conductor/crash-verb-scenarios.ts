/** The ways of a node that crash-verbs.test.ts lives through: what is asked, and where it leads. */
import type { Verb } from '../../conductor/node/workflow/arrows.ts'
import { type NodeRecord, type PowerTarget } from '../../conductor/node/record.ts'
import { type State } from '../../conductor/node/workflow/states.ts'
import {
  defaultPlan,
  inspectPlan,
  planAsked,
  planDeploy,
  rescuePlan,
  type PlannedStep,
} from '../../conductor/node/policy/steps.ts'

const held = (kind: 'clean' | 'service') =>
  planAsked(
    kind,
    [
      { interface: 'deploy', step: 'collect_inventory' },
      { interface: 'power', step: 'reboot' },
      { interface: 'deploy', step: 'hold' },
      { interface: 'deploy', step: 'collect_inventory' },
    ],
    'x',
  )

export interface Verbs {
  readonly name: string
  readonly from: State
  readonly record?: Partial<NodeRecord>
  readonly asks: readonly { readonly verb: Verb; readonly plan?: readonly PlannedStep[]; readonly to: State }[]
  readonly power?: PowerTarget
  /** How a jump into the image ends (kexec); absent: none is decided. */
  readonly jump?: 'works' | 'hangs'
}

const BY_MEDIA = { driver: 'redfish', interfaces: { boot: 'redfish-virtual-media' } } as const
const BY_HTTP = { driver: 'redfish', interfaces: { boot: 'redfish-https' } } as const

export const SCENARIOS: readonly Verbs[] = [
  { name: 'manage', from: 'enroll', asks: [{ verb: 'manage', to: 'manageable' }] },
  { name: 'inspect', from: 'manageable', asks: [{ verb: 'inspect', plan: inspectPlan, to: 'manageable' }] },
  { name: 'provide', from: 'manageable', asks: [{ verb: 'provide', plan: defaultPlan('clean'), to: 'available' }] },
  { name: 'provide without cleaning', from: 'manageable', asks: [{ verb: 'provide', to: 'available' }] },
  {
    name: 'clean with a reboot and a hold',
    from: 'manageable',
    asks: [
      { verb: 'clean', plan: held('clean'), to: 'clean hold' },
      { verb: 'unhold', to: 'manageable' },
    ],
  },
  { name: 'deploy', from: 'available', asks: [{ verb: 'deploy', plan: planDeploy([]), to: 'active' }] },
  {
    name: 'deploy that ends with a jump into the image',
    from: 'available',
    jump: 'works',
    asks: [{ verb: 'deploy', plan: planDeploy([]), to: 'active' }],
  },
  {
    name: 'deploy whose jump hangs',
    from: 'available',
    jump: 'hangs',
    asks: [{ verb: 'deploy', plan: planDeploy([]), to: 'active' }],
  },
  {
    name: 'deploy of a node that must stay on',
    from: 'available',
    record: { disablePowerOff: true },
    asks: [{ verb: 'deploy', plan: planDeploy([]), to: 'active' }],
  },
  {
    name: 'deploy with a hold',
    from: 'available',
    asks: [
      {
        verb: 'deploy',
        plan: planDeploy([{ at: 'x', steps: [{ interface: 'deploy', step: 'hold', priority: 90 }] }]),
        to: 'deploy hold',
      },
      { verb: 'unhold', to: 'active' },
    ],
  },
  {
    name: 'deploy by virtual media',
    from: 'available',
    record: BY_MEDIA,
    asks: [{ verb: 'deploy', plan: planDeploy([]), to: 'active' }],
  },
  {
    name: 'rescue and unrescue by virtual media',
    from: 'active',
    record: BY_MEDIA,
    asks: [
      { verb: 'rescue', plan: rescuePlan, to: 'rescue' },
      { verb: 'unrescue', to: 'active' },
    ],
  },
  {
    name: 'deploy by UEFI HTTP',
    from: 'available',
    record: BY_HTTP,
    asks: [{ verb: 'deploy', plan: planDeploy([]), to: 'active' }],
  },
  { name: 'rebuild', from: 'active', asks: [{ verb: 'rebuild', plan: planDeploy([]), to: 'active' }] },
  { name: 'delete', from: 'active', asks: [{ verb: 'delete', plan: defaultPlan('clean'), to: 'available' }] },
  { name: 'delete without cleaning', from: 'active', asks: [{ verb: 'delete', to: 'available' }] },
  { name: 'adopt', from: 'manageable', asks: [{ verb: 'adopt', to: 'active' }] },
  {
    name: 'rescue and unrescue',
    from: 'active',
    asks: [
      { verb: 'rescue', plan: rescuePlan, to: 'rescue' },
      { verb: 'unrescue', to: 'active' },
    ],
  },
  {
    name: 'service with a hold',
    from: 'active',
    asks: [
      { verb: 'service', plan: held('service'), to: 'service hold' },
      { verb: 'unhold', to: 'active' },
    ],
  },
  {
    name: 'abort of a hold',
    from: 'manageable',
    asks: [
      { verb: 'clean', plan: held('clean'), to: 'clean hold' },
      { verb: 'abort', to: 'clean failed' },
      { verb: 'manage', to: 'manageable' },
    ],
  },
  { name: 'reboot', from: 'active', asks: [], power: 'rebooting' },
]
