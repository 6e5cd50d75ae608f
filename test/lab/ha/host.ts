/** What a server of the lab is told by its config drive: how it comes into the mesh, and the lab's "hypervisor" that
 *  starts its instances. */
import { stringify } from 'yaml'

export const CLOUD_PORT = 7070

/** Instances are units of systemd, so that they can be counted and stopped without knowing them. */
const HYPERVISOR = `import http.server, json, os, socket, struct, subprocess, sys
LINK = sys.argv[1]
MAC = bytes.fromhex(open('/sys/class/net/%s/address' % LINK).read().strip().replace(':', ''))
def run(*argv): return subprocess.run(argv, capture_output=True, text=True)
def units(): return [line.split()[0][9:-8] for line in run('systemctl', 'list-units', '--no-legend', '--plain', '--state=running', 'instance-*.service').stdout.splitlines()]
def announce(ip):
    # Gratuitous ARP (RFC 5227, section 3): the others learn at once where the address lives now.
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind((LINK, 0x806)); a = socket.inet_aton(ip)
    s.send(b'\\xff' * 6 + MAC + b'\\x08\\x06' + struct.pack('!HHBBH', 1, 0x800, 6, 4, 1) + MAC + a + b'\\0' * 6 + a)
def start(id, ip):
    if id in units(): return
    d = '/run/instance/' + id; os.makedirs(d, exist_ok=True)
    open(d + '/index.html', 'w').write('%s on %s\\n' % (id, socket.gethostname()))
    run('ip', 'address', 'add', ip + '/32', 'dev', LINK)
    run('systemctl', 'reset-failed', 'instance-' + id)
    started = run('systemd-run', '--unit', 'instance-' + id, sys.executable, '-m', 'http.server', '--bind', ip, '--directory', d, '80')
    if started.returncode: raise Exception(started.stderr)
    announce(ip)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        try:
            ask = json.loads(self.rfile.read(int(self.headers.get('content-length') or 0)))
            if ask['do'] == 'start': start(ask['id'], ask['ip'])
            if ask['do'] == 'stop': run('systemctl', 'stop', 'instance-' + ask['id'])
            if ask['do'] == 'stop all': run('systemctl', 'kill', '--signal=KILL', 'instance-*.service')
            code, said = 200, units()
        except Exception as error: code, said = 500, str(error)
        self.send_response(code); self.end_headers(); self.wfile.write(json.dumps(said).encode())
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer((sys.argv[2], 7071), Handler).serve_forever()
`

const posts = (url: string, body: Record<string, string>) =>
  `import json,urllib.request as u; u.urlopen(u.Request('${url}', data=json.dumps(${JSON.stringify(body)}).encode()), timeout=30)`

/** cloud-init's user data. `bundle` is the server's invitation into the mesh. */
export function hostUserData(host: {
  name: string
  address: string
  bundle: string
  mac: string
  conductor: string
}): string {
  const agent = {
    name: host.name,
    role: 'host',
    rack: host.name,
    node: host.name,
    planes: { management: { address: host.address } },
    consul: {
      tokenFile: '/var/lib/rackward-agent/consul/token',
      run: { configDirectory: '/var/lib/rackward-agent/consul/config' },
    },
    gate: {},
    guests: {
      kind: 'command',
      // Units have a control group each; asking systemd every two seconds would cost an emulated processor half of its
      // time.
      count: ['sh', '-c', 'ls -d /sys/fs/cgroup/system.slice/instance-*.service 2>/dev/null | wc -l'],
      stop: ['python3', '-c', posts(`http://${host.address}:7071`, { do: 'stop all' })],
      onOpen: ['python3', '-c', posts(`http://${host.conductor}:${CLOUD_PORT}`, { call: 'open', host: host.name })],
    },
    log: { format: 'text' },
  }
  const link = `$(grep -l ${host.mac} /sys/class/net/*/address | cut -d/ -f5)`
  const unit = `[Unit]
Description=The lab's manager of instances on this server
[Service]
ExecStart=/bin/sh -c 'exec python3 /usr/local/lib/hypervisor.py ${link} ${host.address}'
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target
`
  const file = (path: string, content: string, permissions = '0644') => ({ path, content, permissions })
  const config = {
    ssh_deletekeys: true,
    ssh_genkeytypes: ['ed25519'],
    write_files: [
      file('/etc/rackward/agent.yaml', stringify(agent)),
      file('/var/lib/rackward-agent/bundle', host.bundle, '0600'),
      file('/usr/local/lib/hypervisor.py', HYPERVISOR),
      file('/etc/systemd/system/hypervisor.service', unit),
    ],
    runcmd: ['systemctl daemon-reload && systemctl enable --now hypervisor'],
  }
  return `#cloud-config\n${stringify(config, { lineWidth: 0 })}`
}
