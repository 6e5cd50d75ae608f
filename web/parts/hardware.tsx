/** The hardware of a server as it was read last, its firmware and BIOS settings: asked for when somebody opens it. */
import { useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { getJson } from '../api.ts'
import { fullTime, size } from '../format.ts'

/** As agents of Ironic report it; of other programs' reports any part may be missing. */
interface Found {
  readonly inventory?: {
    readonly cpu?: { readonly count?: number; readonly model_name?: string | null; readonly architecture?: string }
    readonly memory?: { readonly physical_mb?: number | null }
    readonly disks?: readonly {
      readonly name?: string
      readonly model?: string | null
      readonly size?: number
      readonly serial?: string | null
      readonly rotational?: boolean
    }[]
    readonly interfaces?: readonly {
      readonly name?: string
      readonly mac_address?: string
      readonly has_carrier?: boolean
      readonly speed_mbps?: number | null
    }[]
    readonly boot?: { readonly current_boot_mode?: string | null }
    readonly system_vendor?: {
      readonly manufacturer?: string | null
      readonly product_name?: string | null
      readonly serial_number?: string | null
    } | null
    readonly bmc_address?: string | null
  }
}

interface Firmware {
  readonly firmware: readonly {
    readonly component: string
    readonly current_version: string | null
    readonly initial_version: string | null
    readonly updated_at: string | null
  }[]
}

interface Bios {
  readonly bios: readonly { readonly name: string; readonly value: string | null }[]
}

interface LateProps<T> {
  readonly name: string
  readonly path: string
  readonly draw: (found: T) => ComponentChildren
}

/** What has a remedy when it is not there, such as an inspection, says it. */
function Late<T>({ name, path, draw }: LateProps<T>) {
  const found = useSignal<T | undefined>(undefined)
  const problem = useSignal('')
  const ask = () => {
    problem.value = ''
    getJson<T>(path).then(
      (answer) => (found.value = answer),
      (error: Error) => (problem.value = error.message),
    )
  }
  return (
    <details onToggle={(event) => event.currentTarget.open && ask()}>
      <summary>{name}</summary>
      {problem.value && <p class="muted">{problem.value}</p>}
      {!problem.value && found.value === undefined && <p class="muted">Reading …</p>}
      {!problem.value && found.value !== undefined && draw(found.value)}
    </details>
  )
}

const Rows = ({ rows }: { readonly rows: readonly (readonly [string, string])[] }) => (
  <dl class="facts inner">
    {rows.map(([name, value], i) => (
      <div key={`${name} ${i}`}>
        <dt>{name}</dt>
        <dd>{value}</dd>
      </div>
    ))}
  </dl>
)

const joined = (...parts: unknown[]): string =>
  parts.filter((part) => part !== undefined && part !== null && part !== '').join(', ') || 'not known'

function inventoryRows({ inventory = {} }: Found): (readonly [string, string])[] {
  const { cpu, memory, disks = [], interfaces = [], boot, system_vendor: vendor, bmc_address: bmc } = inventory
  return [
    ['System', joined(vendor?.manufacturer, vendor?.product_name, vendor?.serial_number)],
    ['Processor', joined(`${cpu?.count ?? '?'} × ${cpu?.model_name ?? 'unknown'}`, cpu?.architecture)],
    ['Memory', typeof memory?.physical_mb === 'number' ? size(memory.physical_mb * 1024 ** 2) : 'not known'],
    ['Boot mode', boot?.current_boot_mode ?? 'not known'],
    ['BMC', bmc ?? 'not known'],
    ...disks.map(
      ({ name, model, size: bytes, serial, rotational }) =>
        [
          name ?? 'disk',
          joined(bytes === undefined ? '' : size(bytes), rotational ? 'hard disk' : '', model, serial),
        ] as const,
    ),
    ...interfaces.map(
      ({ name, mac_address: mac, has_carrier: linked, speed_mbps: speed }) =>
        [name ?? 'card', joined(mac, speed ? `${speed} Mbit/s` : '', linked === false ? 'no link' : '')] as const,
    ),
  ]
}

const None = () => <p class="muted">None were read.</p>

export function Hardware({ uuid }: { readonly uuid: string }) {
  const base = `/v1/nodes/${encodeURIComponent(uuid)}`
  return (
    <section class="card hardware">
      <h2>Hardware</h2>
      <Late<Found> name="Inventory" path={`${base}/inventory`} draw={(found) => <Rows rows={inventoryRows(found)} />} />
      <Late<Firmware>
        name="Firmware"
        path={`${base}/firmware`}
        draw={({ firmware }) =>
          firmware.length === 0 ? (
            <None />
          ) : (
            <Rows
              rows={firmware.map((one) => [
                one.component,
                joined(
                  one.current_version ?? one.initial_version,
                  one.updated_at && `read ${fullTime(one.updated_at)}`,
                ),
              ])}
            />
          )
        }
      />
      <Late<Bios>
        name="BIOS settings"
        path={`${base}/bios`}
        draw={({ bios }) =>
          bios.length === 0 ? <None /> : <Rows rows={bios.map(({ name, value }) => [name, value || 'not set'])} />
        }
      />
    </section>
  )
}
