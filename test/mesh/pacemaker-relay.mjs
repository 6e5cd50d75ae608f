/** In the network of a test's Pacemaker: a TCP port of loopback that leads to a unix socket, which reaches the
 *  conductor outside. */
import { connect, createServer } from 'node:net'

const [port, path] = process.argv.slice(2)
createServer((client) => {
  const there = connect(path)
  client.on('error', () => there.destroy())
  there.on('error', () => client.destroy())
  client.pipe(there).pipe(client)
}).listen(Number(port), '127.0.0.1')
