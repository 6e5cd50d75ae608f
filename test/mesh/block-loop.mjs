/** Blocks the event loop of a Node.js process in this network namespace for so long, through its inspector: `node
 *  block-loop.mjs PID MS`. Prints how long it was blocked. */
import WebSocket from 'ws'

const [pid, ms] = process.argv.slice(2).map(Number)
// Node.js opens its inspector on 127.0.0.1:9229 when it gets this signal.
process.kill(pid, 'SIGUSR1')
const targets = async () => {
  for (;;) {
    const answer = await fetch('http://127.0.0.1:9229/json/list').catch(() => undefined)
    if (answer) return answer.json()
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}
const [{ webSocketDebuggerUrl }] = await targets()
const ws = new WebSocket(webSocketDebuggerUrl)
ws.once('open', () =>
  ws.send(
    JSON.stringify({
      id: 1,
      method: 'Runtime.evaluate',
      params: {
        expression: `(() => { const from = Date.now(); while (Date.now() < from + ${ms}); return Date.now() - from })()`,
      },
    }),
  ),
)
ws.on('message', (data) => {
  const { id, result } = JSON.parse(data.toString())
  if (id !== 1) return
  process.stdout.write(`${result.result.value}\n`)
  ws.close()
})
