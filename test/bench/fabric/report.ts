/** What `npm run bench -- fabric` found, as a table and as a picture. Pure. */

export interface RunFigures {
  /** Of the nodes that are neither slow nor killed. */
  readonly medianSeconds: number
  readonly lastSeconds: number
  /** Of the image: from the image server, and what nodes had from others and gave to others. */
  readonly seedCopies: number
  readonly neighbourCopies: number
  readonly givenCopies: number
  /** Of all processors, with whatever else ran. */
  readonly busyShare: number
}

export interface FabricReport {
  readonly mbitPerSecond: number
  readonly uplinkMbitPerSecond: number
  readonly imageBytes: number
  /** Of a node's own link. */
  readonly floorSeconds: number
  readonly cores: number
  readonly rows: readonly {
    readonly nodes: number
    readonly unicast: RunFigures
    readonly swarm: RunFigures
    /** By the uplink's rate alone. */
    readonly idealUnicastSeconds: number
  }[]
  readonly faults: { readonly slow: number; readonly killed: number; readonly figures: RunFigures } | null
  readonly simulated: readonly {
    readonly nodes: number
    readonly swarmSeconds: number
    readonly unicastSeconds: number
  }[]
}

interface Bounds {
  readonly nodes: number
  /** Of a node's own link. */
  readonly leastSeconds: number
  /** Of what the image server sent. */
  readonly uplinkSeconds: number
  /** Until the slow ones had it, too: they are sent to for longer than the others take. */
  readonly wholeSeconds: number
}

/** What a run cannot beat: the rates of the links, and that nobody has what nobody sent. Throws where it did. */
export function believableRun(
  figures: RunFigures,
  { nodes, leastSeconds, uplinkSeconds, wholeSeconds }: Bounds,
): RunFigures {
  const { lastSeconds, seedCopies, neighbourCopies } = figures
  if (seedCopies + neighbourCopies < nodes * 0.999)
    throw new Error(`${nodes} nodes have the image, and ${(seedCopies + neighbourCopies).toFixed(2)} copies were sent`)
  // Beyond the first burst of each link.
  if (!(lastSeconds > leastSeconds * 0.95))
    throw new Error(`${lastSeconds.toFixed(2)} s are too few: the links alone take ${leastSeconds.toFixed(2)} s`)
  if (!(wholeSeconds > uplinkSeconds * 0.95))
    throw new Error(`${wholeSeconds.toFixed(2)} s are too few: the uplink alone takes ${uplinkSeconds.toFixed(2)} s`)
  return figures
}

const cells = (values: readonly string[]): string => values.map((value) => value.padStart(13)).join('')
const s = (seconds: number): string => seconds.toFixed(1)

export function fabricTable(report: FabricReport): string {
  const { floorSeconds, faults } = report
  const mb = (report.imageBytes / 1e6).toFixed(1)
  const last = report.rows.at(-1)
  const rows = report.rows.map(({ nodes, unicast, swarm, idealUnicastSeconds }) =>
    cells([
      String(nodes),
      s(unicast.lastSeconds),
      s(idealUnicastSeconds),
      s(swarm.medianSeconds),
      s(swarm.lastSeconds),
      `${(unicast.lastSeconds / swarm.lastSeconds).toFixed(1)} x`,
      `${(swarm.lastSeconds / floorSeconds).toFixed(2)} x`,
      swarm.seedCopies.toFixed(1),
      `${Math.round(100 * Math.max(unicast.busyShare, swarm.busyShare))} %`,
    ]),
  )
  const withFaults =
    faults && last
      ? [
          `${faults.slow} slow and ${faults.killed} killed of ${last.nodes}: the others after ` +
            `${s(faults.figures.lastSeconds)} s, ${(faults.figures.lastSeconds / last.swarm.lastSeconds).toFixed(2)} x`,
        ]
      : []
  return [
    `Nodes that write one image of ${mb} MB, links of ${report.mbitPerSecond} Mbit/s, one uplink of ` +
      `${report.uplinkMbitPerSecond.toFixed(1)} Mbit/s; image / link is ${s(floorSeconds)} s; ${report.cores} cores`,
    cells([
      'nodes',
      'unicast s',
      'uplink alone',
      'swarm median',
      'swarm last',
      'faster',
      'of link',
      'seed copies',
      'busy',
    ]),
    ...rows,
    ...withFaults,
    'Simulated with the same tracker and plan (no TCP):',
    cells(['nodes', 'unicast s', 'swarm last', 'faster', 'of link']),
    ...report.simulated.map(({ nodes, swarmSeconds, unicastSeconds }) =>
      cells([
        String(nodes),
        s(unicastSeconds),
        s(swarmSeconds),
        `${(unicastSeconds / swarmSeconds).toFixed(1)} x`,
        `${(swarmSeconds / floorSeconds).toFixed(2)} x`,
      ]),
    ),
  ].join('\n')
}

const WIDTH = 720
const HEIGHT = 420
const LEFT = 70
const RIGHT = 150
const TOP = 40
const BOTTOM = 50

/** Both axes are logarithmic. */
export function fabricSvg(report: FabricReport): string {
  const nodes = [...report.rows.map((row) => row.nodes), ...report.simulated.map((one) => one.nodes)]
  const times = [
    ...report.rows.flatMap(({ unicast, swarm }) => [unicast.lastSeconds, swarm.lastSeconds]),
    ...report.simulated.flatMap(({ unicastSeconds, swarmSeconds }) => [unicastSeconds, swarmSeconds]),
    report.floorSeconds,
  ]
  const range = (values: readonly number[]) => [Math.min(...values) / 1.3, Math.max(...values) * 1.3] as const
  const place = (value: number, [low, high]: readonly [number, number]) =>
    (Math.log(value) - Math.log(low)) / (Math.log(high) - Math.log(low))
  const [across, up] = [range(nodes), range(times)]
  const x = (value: number) => LEFT + place(value, across) * (WIDTH - LEFT - RIGHT)
  const y = (value: number) => HEIGHT - BOTTOM - place(value, up) * (HEIGHT - TOP - BOTTOM)
  const line = (points: readonly (readonly [number, number])[], color: string, isDashed: boolean) =>
    `<polyline fill="none" stroke="${color}" stroke-width="2"${isDashed ? ' stroke-dasharray="5 4"' : ''} points="${points
      .map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`)
      .join(' ')}"/>`
  const dots = (points: readonly (readonly [number, number])[], color: string) =>
    points.map(([a, b]) => `<circle cx="${x(a).toFixed(1)}" cy="${y(b).toFixed(1)}" r="3.5" fill="${color}"/>`)
  const text = (at: readonly [number, number], words: string, more = '') =>
    `<text x="${at[0].toFixed(1)}" y="${at[1].toFixed(1)}"${more}>${words}</text>`
  const ticks = (low: number, high: number) =>
    Array.from({ length: 12 }, (_, i) => 10 ** (i - 3)).filter((value) => value >= low && value <= high)
  const unicast = report.rows.map((row) => [row.nodes, row.unicast.lastSeconds] as const)
  const swarm = report.rows.map((row) => [row.nodes, row.swarm.lastSeconds] as const)
  const [red, blue, grey] = ['#b3382c', '#1f5fa8', '#777']
  const end = WIDTH - RIGHT + 8
  const last = report.simulated.at(-1)
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    text([LEFT, 22], 'Seconds until the last node holds the image', ' font-size="14"'),
    ...ticks(...up).flatMap((value) => [
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(value)}" y2="${y(value)}" stroke="#ddd"/>`,
      text([LEFT - 8, y(value) + 4], `${value}`, ' text-anchor="end"'),
    ]),
    ...[2, 8, 32, 134, 1_000, 10_000].map((value) =>
      text([x(value), HEIGHT - BOTTOM + 18], `${value}`, ' text-anchor="middle"'),
    ),
    text([(LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10], 'nodes', ' text-anchor="middle"'),
    line(
      [
        [across[0], report.floorSeconds],
        [across[1], report.floorSeconds],
      ],
      grey,
      true,
    ),
    line(
      report.simulated.map((one) => [one.nodes, one.unicastSeconds] as const),
      red,
      true,
    ),
    line(
      report.simulated.map((one) => [one.nodes, one.swarmSeconds] as const),
      blue,
      true,
    ),
    line(unicast, red, false),
    line(swarm, blue, false),
    ...dots(unicast, red),
    ...dots(swarm, blue),
    text([end, y(last?.unicastSeconds ?? 1) + 4], 'unicast', ` fill="${red}"`),
    text([end, y(last?.swarmSeconds ?? 1) - 4], 'swarm', ` fill="${blue}"`),
    text([end, y(report.floorSeconds) + 16], 'image / own link', ` fill="${grey}"`),
    text([end, TOP + 20], 'dots: measured'),
    text([end, TOP + 36], 'dashed: calculated'),
    '</svg>\n',
  ].join('\n')
}
