/** etcd, a real API server and, when a test wants them, controller manager and scheduler, on loopback and in a
 *  directory of their own. `npm run test:kubernetes` builds them and names their directory. */
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { selfSigned } from '../../../kit/certificate.ts'
import { until } from '../../../kit/clock.ts'
import { http } from '../../../kit/http.ts'
import { piped, type Piped } from '../../../kit/run.ts'
import { freePort } from '../../kit/free-port.ts'
import { ROOT } from '../../lab/root.ts'
import { Cluster, signal, type ClusterAccess, type Doc } from '../cluster.ts'

const MANIFEST = join(ROOT, 'docs/examples/kubernetes-rbac.yaml')
const START_MS = 240_000
const ADMIN_GROUP = 'system:masters'

export class RealKubernetes {
  readonly access: ClusterAccess
  private readonly dir: string
  private readonly children: Piped[] = []

  private constructor(dir: string, access: ClusterAccess) {
    this.dir = dir
    this.access = access
  }

  /** With the role of the documentation applied; `access.token` is that of its service account. */
  static async open(): Promise<RealKubernetes> {
    const dir = await mkdtemp(join(tmpdir(), 'rackward-kubernetes-'))
    const { key, cert } = await selfSigned({ commonName: 'kubernetes', days: 2, names: ['IP:127.0.0.1'] })
    const accounts = await selfSigned({ commonName: 'accounts', days: 2, algorithm: 'rsa' })
    const admin = randomBytes(16).toString('hex')
    const files = { 'key.pem': key, 'cert.pem': cert, 'accounts.pem': accounts.key }
    for (const [name, text] of Object.entries({ ...files, 'tokens.csv': `${admin},admin,1,${ADMIN_GROUP}\n` }))
      await writeFile(join(dir, name), text, { mode: 0o600 })
    const server = `https://127.0.0.1:${await freePort()}`
    const begun = new RealKubernetes(dir, { server, ca: cert, admin, token: '' })
    try {
      await begun.start()
      const whole = new RealKubernetes(dir, { ...begun.access, token: await begun.applyRole() })
      whole.children.push(...begun.children)
      return whole
    } catch (error) {
      const said = await begun.log('kube-apiserver')
      await begun.stop()
      throw new Error(`${String(error)}\n${said}`, { cause: error })
    }
  }

  private async start(): Promise<void> {
    const [client, peer] = [`http://127.0.0.1:${await freePort()}`, `http://127.0.0.1:${await freePort()}`]
    const etcd = [
      '--data-dir',
      join(this.dir, 'etcd'),
      '--listen-client-urls',
      client,
      '--advertise-client-urls',
      client,
    ]
    etcd.push('--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', `default=${peer}`)
    // What it stores is thrown away: a disk that others write to shall not hold it up.
    this.run('etcd', ['etcd', ...etcd, '--unsafe-no-fsync'])
    const file = (name: string) => join(this.dir, name)
    this.run('kube-apiserver', [
      program('kube-apiserver'),
      `--etcd-servers=${client}`,
      '--bind-address=127.0.0.1',
      `--secure-port=${new URL(this.access.server).port}`,
      '--insecure-port=0',
      `--tls-cert-file=${file('cert.pem')}`,
      `--tls-private-key-file=${file('key.pem')}`,
      `--token-auth-file=${file('tokens.csv')}`,
      '--authorization-mode=RBAC',
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-signing-key-file=${file('accounts.pem')}`,
      `--service-account-key-file=${file('accounts.pem')}`,
      '--service-cluster-ip-range=10.0.0.0/24',
      // Pods of the tests have no service account: nothing runs in them.
      '--disable-admission-plugins=ServiceAccount',
      '--allow-privileged=true',
    ])
    const { server, ca } = this.access
    const headers = { authorization: `Bearer ${this.access.admin}` }
    const ready = () =>
      http({ method: 'GET', url: `${server}/readyz`, ca, headers, signal: signal() }).catch(() => undefined)
    await until(async () => (await ready())?.status === 200, {
      what: 'the API server',
      timeoutMs: START_MS,
      everyMs: 250,
    })
  }

  /** As `kubectl apply -f` of the manifest that users apply; answers a token of its account. */
  private async applyRole(): Promise<string> {
    const cluster = new Cluster(this.access)
    const kubeSystem = '/api/v1/namespaces/kube-system'
    const there = async () => (await cluster.ask('GET', kubeSystem)).status === 200
    await until(there, { what: 'the namespace kube-system', timeoutMs: 60_000, everyMs: 250 })
    for (const document of parseAllDocuments(await readFile(MANIFEST, 'utf8')))
      await apply(cluster, document.toJS() as Doc)
    const made = await cluster.ok('POST', `${kubeSystem}/serviceaccounts/rackward/token`, {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { audiences: [], expirationSeconds: 7_200 },
    })
    return made.status.token
  }

  /** The controllers and the scheduler, with what Kubernetes sets them to. */
  async startControllers(): Promise<void> {
    const kubeconfig = join(this.dir, 'kubeconfig')
    const { server, admin } = this.access
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster: { server, 'certificate-authority': join(this.dir, 'cert.pem') } }],
      users: [{ name: 'u', user: { token: admin } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    }
    await writeFile(kubeconfig, JSON.stringify(config), { mode: 0o600 })
    for (const name of ['kube-controller-manager', 'kube-scheduler']) {
      const more = name === 'kube-scheduler' ? [] : ['--controllers=*,-ttl-after-finished,-bootstrapsigner']
      this.run(name, [
        program(name),
        `--kubeconfig=${kubeconfig}`,
        '--leader-elect=false',
        '--port=0',
        '--bind-address=127.0.0.1',
        `--secure-port=${await freePort()}`,
        `--cert-dir=${join(this.dir, name)}`,
        ...more,
      ])
    }
  }

  /** The end of what a program said. */
  log = async (name: string): Promise<string> =>
    (await readFile(join(this.dir, `${name}.log`), 'utf8').catch(() => '')).slice(-4_000)

  private run(name: string, argv: readonly string[]): void {
    const child = piped(['sh', '-c', 'exec "$@" > "$0" 2>&1', join(this.dir, `${name}.log`), ...argv])
    child.stdout.resume()
    this.children.push(child)
  }

  async stop(): Promise<void> {
    // The API server waits a minute for requests that watch: what it stores is thrown away.
    for (const child of this.children.toReversed()) child.stop()
    await Promise.allSettled(this.children.map(({ done }) => done))
    await rm(this.dir, { recursive: true, force: true })
  }
}

const COLLECTIONS: Readonly<Record<string, string>> = {
  ServiceAccount: 'serviceaccounts',
  ClusterRole: 'clusterroles',
  ClusterRoleBinding: 'clusterrolebindings',
  CustomResourceDefinition: 'customresourcedefinitions',
}

/** Makes one object of a manifest. */
export async function apply(cluster: Cluster, document: Doc): Promise<void> {
  const { apiVersion, kind, metadata } = document
  const collection = COLLECTIONS[kind]
  if (collection === undefined) throw new Error(`the manifest holds a ${kind}: add it to COLLECTIONS`)
  const base = apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`
  const namespace = metadata.namespace === undefined ? '' : `/namespaces/${metadata.namespace}`
  await cluster.ok('POST', `${base}${namespace}/${collection}`, document)
}

function program(name: string): string {
  const { RACKWARD_KUBERNETES: dir } = process.env
  if (dir === undefined) throw new Error('RACKWARD_KUBERNETES is not set: start these tests by npm run test:kubernetes')
  return join(dir, name)
}
