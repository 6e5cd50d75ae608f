/** `npm run bench [-- deploy | redeploy | boot | explain [--only nodes|mesh|NAME,...] | storm | media | images |
 *  fabric [--nodes N,...] | api | scale [--nodes N] | web | mesh [--hosts N | --kubernetes] | redfish [--bmcs N] |
 *  cluster | polls [--bmcs N]]`. Each but the first has a file of its own name. Deploy: how long a deploy takes per
 *  phase, against the floor measured on the same server in the same run, and the ramdisk's size; then `redeploy`.
 *  Figures are for comparing within one run: they move with the machine. */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { ImageStore } from '../../images/store.ts'
import { until } from '../../kit/clock.ts'
import { RackConductor } from '../lab/conductor.ts'
import { enroll, travel } from '../lab/journey.ts'
import type { Firmware } from '../lab/server.ts'
import { newSeen } from '../lab/show.ts'
import { sh } from '../lab/shell.ts'
import { benchApi } from './api.ts'
import { benchBoot } from './boot.ts'
import { benchServer, makeAll, seconds, sshAnswers, WAIT_MS, type Made } from './debian-rack.ts'
import { benchExplain } from './explain.ts'
import { inRack } from './in-rack.ts'
import { benchCluster } from './cluster.ts'
import { benchFabric } from './fabric.ts'
import { benchImages } from './images.ts'
import { benchMedia } from './media.ts'
import { benchMesh } from './mesh.ts'
import { benchPolls } from './polls.ts'
import { benchRedeploy } from './redeploy.ts'
import { redeployTable } from './redeploy-table.ts'
import { benchRedfish } from './redfish.ts'
import { benchScale } from './mesh-scale.ts'
import { benchStorm } from './storm.ts'
import { benchScaleOfNodes, scaleTable } from './scale.ts'
import { COPY, floorInitrd, marker, rawFile } from './floor.ts'

const say = (line: string) => void process.stderr.write(`${line}\n`)

async function measureFloor(made: Made, firmware: Firmware) {
  return inRack('floor', made.accel, async (rack) => {
    const server = await rack.addServer({
      ...benchServer(firmware),
      moreDisks: [Math.ceil(made.image.sizeBytes / 512) * 512],
    })
    await rawFile(new ImageStore(made.imageStore), made.image, `${server.diskFile}.1`)
    const initrd = await floorInitrd(made.ramdisk.initrd, rack.dir, COPY)
    const conductor = await RackConductor.make(rack, {
      imageStore: made.imageStore,
      kernel: made.ramdisk.kernel,
      initrd,
    })
    await conductor.start()
    await enroll(conductor.api, server)
    await conductor.api.ok('PUT', '/v1/nodes/bench-1/states/provision', { target: 'manage' })
    await until(async () => (await conductor.api.ok('GET', '/v1/nodes/bench-1')).provision_state === 'manageable', {
      what: 'manageable',
      timeoutMs: 30_000,
      everyMs: 50,
    })
    const log = join(server.dir, 'console.log')
    const powerMs = Date.now()
    await conductor.api.ok('PUT', '/v1/nodes/bench-1/states/provision', { target: 'inspect' })
    const shellMs = await marker(log, 'FLOOR-SHELL', WAIT_MS)
    const ddMs = await marker(log, 'FLOOR-DD', WAIT_MS)
    await rack.ipmi(server, ['power', 'off'])
    await rack.ipmi(server, ['chassis', 'bootdev', 'disk'])
    const bootMs = Date.now()
    await rack.ipmi(server, ['power', 'on'])
    const upMs = await sshAnswers(rack)
    return { netboot: seconds(powerMs, shellMs), dd: seconds(shellMs, ddMs), boot: seconds(bootMs, upMs) }
  })
}

async function measureDeploy(made: Made, firmware: Firmware) {
  return inRack('bench', made.accel, async (rack) => {
    const server = await rack.addServer(benchServer(firmware))
    await sh(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', join(rack.dir, 'id_ed25519')])
    const conductor = await RackConductor.make(rack, {
      imageStore: made.imageStore,
      kernel: made.ramdisk.kernel,
      initrd: made.ramdisk.initrd,
    })
    await conductor.start()
    const startMs = Date.now()
    const result = await travel({ api: conductor.api, rack, server, image: made.image.id, seen: newSeen() })
    if (result.error) throw new Error(result.error)
    return { phases: result.phases, total: seconds(startMs, Date.now()) }
  })
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      firmware: { type: 'string' },
      json: { type: 'boolean', default: false },
      'no-peer': { type: 'boolean', default: false },
      kills: { type: 'string' },
      kubernetes: { type: 'boolean', default: false },
      hosts: { type: 'string' },
      bmcs: { type: 'string' },
      nodes: { type: 'string' },
      speed: { type: 'string' },
      clients: { type: 'string' },
      seconds: { type: 'string', default: '5' },
      servers: { type: 'string', default: '1000' },
      only: { type: 'string' },
      mbit: { type: 'string' },
      mb: { type: 'string' },
      svg: { type: 'string' },
      rounds: { type: 'string' },
      'secure-boot': { type: 'boolean', default: false },
    },
  })
  const [what = 'deploy'] = positionals
  if (what === 'api') return benchApi({ json: values.json, peer: !values['no-peer'] })
  if (what === 'scale') {
    const figures = await benchScaleOfNodes(Number(values.nodes ?? '10000'))
    return void process.stdout.write(`${values.json ? JSON.stringify(figures) : scaleTable(figures)}\n`)
  }
  if (what === 'web') {
    const { benchWeb, webTable } = await import('./web.ts')
    const report = await benchWeb()
    return void process.stdout.write(`${values.json ? JSON.stringify(report) : webTable(report)}\n`)
  }
  if (what === 'mesh' && values.hosts !== undefined)
    return void process.stdout.write(`${JSON.stringify(await benchScale(Number(values.hosts)), null, 2)}\n`)
  if (what === 'mesh' && values.kubernetes) {
    const { benchKubernetes } = await import('./mesh-kubernetes.ts')
    return benchKubernetes({ kills: Number(values.kills ?? '10'), json: values.json, say })
  }
  if (what === 'mesh') return benchMesh({ kills: Number(values.kills ?? '30'), json: values.json, say })
  if (what === 'boot') {
    const { json, only } = values
    const [clients, seconds, rounds] = [
      Number(values.clients ?? '20000'),
      Number(values.seconds),
      Number(values.rounds ?? '3'),
    ]
    return benchBoot({ clients, seconds, rounds, json, say, ...(only ? { only } : {}) })
  }
  if (what === 'images') {
    const [clients, rounds] = [Number(values.clients ?? '64'), Number(values.rounds ?? '3')]
    return benchImages({ clients, seconds: Number(values.seconds), rounds, json: values.json, say })
  }
  if (what === 'fabric')
    return benchFabric({
      counts: (values.nodes ?? '2,8,32,134').split(',').map(Number),
      mbitPerSecond: Number(values.mbit ?? '0.5'),
      megabytes: Number(values.mb ?? '3'),
      svg: values.svg ?? 'fabric.svg',
      json: values.json,
      say,
    })
  if (what === 'explain') return benchExplain({ only: values.only, json: values.json, say })
  if (what === 'storm') return benchStorm({ servers: Number(values.servers), json: values.json, say })
  if (what === 'polls') return benchPolls({ json: values.json, bmcs: Number(values.bmcs ?? '10000') })
  if (what === 'redfish')
    return benchRedfish({ json: values.json, ...(values.bmcs ? { bmcs: Number(values.bmcs) } : {}) })
  if (what === 'media')
    return benchMedia({
      rounds: Number(values.rounds ?? '1'),
      firmware: values.firmware === 'bios' ? 'bios' : 'uefi',
      secureBoot: values['secure-boot'],
      json: values.json,
    })
  if (what === 'cluster')
    return benchCluster({
      json: values.json,
      kills: Number(values.kills ?? '30'),
      say,
      ...(values.only ? { only: values.only } : {}),
      ...(values.nodes ? { nodes: Number(values.nodes) } : {}),
      ...(values.speed ? { speed: Number(values.speed) } : {}),
    })
  if (what !== 'deploy' && what !== 'redeploy')
    throw new Error(
      `there is no benchmark ${what}; there are deploy, redeploy, boot, explain, storm, media, images, fabric, api, scale, web, mesh, redfish, cluster, polls`,
    )
  const firmware = values.firmware === 'uefi' ? 'uefi' : 'bios'
  const made = await makeAll(say)
  const { image, ramdisk } = made
  const redeploys = () => benchRedeploy(made, { firmware, rounds: Number(values.rounds ?? '2'), say })
  if (what === 'redeploy') {
    const report = await redeploys()
    if (!values.json) say(redeployTable(report))
    return void process.stdout.write(`${JSON.stringify(report)}\n`)
  }
  say('measuring the floor: network boot, dd, one boot')
  const floor = await measureFloor(made, firmware)
  say('measuring the deploy: the same server, blank, from power-off to a login')
  const deploy = await measureDeploy(made, firmware)
  const redeploy = await redeploys()
  const floorTotal = Math.round((floor.netboot + floor.dd + floor.boot) * 10) / 10
  const report = {
    firmware,
    accel: made.accel,
    imageBytes: image.sizeBytes,
    ramdiskBytes: ramdisk.sizeBytes,
    floor: { ...floor, total: floorTotal },
    deploy,
    ratio: Math.round((deploy.total / floorTotal) * 100) / 100,
    redeploy,
  }
  if (!values.json) say(`${tableOf(report)}\n${redeployTable(redeploy)}`)
  process.stdout.write(`${JSON.stringify(report)}\n`)
}

function tableOf(report: {
  floor: Record<string, number>
  deploy: { phases: Record<string, number>; total: number }
  ratio: number
  ramdiskBytes: number
  imageBytes: number
  firmware: string
  accel: string
}): string {
  const rows = (title: string, values: Record<string, number>) => [
    title,
    ...Object.entries(values).map(([name, value]) => `  ${name.padEnd(12)} ${value.toFixed(1).padStart(8)} s`),
  ]
  return [
    `${report.firmware}, ${report.accel}, image ${(report.imageBytes / 1e6).toFixed(0)} MB`,
    ...rows('floor', report.floor),
    ...rows('deploy', { ...report.deploy.phases, total: report.deploy.total }),
    `ratio          ${report.ratio.toFixed(2)}  (deploy / floor; to reach: 1.30)`,
    `ramdisk        ${(report.ramdiskBytes / 1e6).toFixed(1)} MB (kernel and initramfs; to reach: 60)`,
  ].join('\n')
}

await main().catch((error: Error) => {
  say(`bench: ${error.message}`)
  process.exitCode = 1
})
process.exit()
