/** The serial console in a real browser: what is typed and said, who has it, how it ends, and what a machine cannot do
 *  with what it prints. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { flaws } from './axe.ts'
import { Bench } from './bench.ts'
import { SHARED } from './shared.ts'
import { shoot } from './shots.ts'

let bench: Bench
beforeAll(async () => {
  bench = await Bench.start({ limits: { api: { consoles: 1 } } }, SHARED)
  await bench.node('talks', { owner: 'blue' })
})
afterAll(() => bench?.stop())

const ROWS = '.xterm-rows'

test('what is typed comes back, a second one is told who has it, and the end of the session ends it', async () => {
  const { page, said } = await bench.page()
  await bench.logIn(page, 'anna', '/ui/nodes/talks')
  await page.getByRole('link', { name: 'Serial console' }).click()
  await page.getByText('You have it.').waitFor()
  await page.locator(ROWS).getByText('[fake console]').waitFor()
  await page.keyboard.type('hello machine')
  await page.locator(ROWS).getByText('hello machine').waitFor()
  expect(await page.title()).toBe('talks · console · Rackward')
  expect(await flaws(page)).toEqual([])
  await shoot(page, 'console')

  const other = await bench.page()
  await bench.logIn(other.page, 'blue', '/ui/nodes/talks')
  await other.page.getByRole('link', { name: 'Serial console' }).click()
  await other.page.getByRole('status').getByText('Refused: 1 consoles are open already').waitFor()
  await other.page.getByRole('status').getByText('anna has it since').waitFor()

  const tab = await page.context().newPage()
  await tab.goto(`${bench.base}/ui/`)
  await tab.getByRole('button', { name: 'Log out' }).click()
  await page.getByRole('status').getByText('You may no longer have it: your session has ended').waitFor()
  await page.keyboard.type('into nothing')
  await page.getByRole('button', { name: 'Connect again' }).click()
  await page.getByText('You are not logged in.').waitFor()

  // The place is free again.
  await other.page.getByRole('button', { name: 'Take it over' }).click()
  await other.page.getByText('You have it.').waitFor()
  await other.page.keyboard.press('Control+Alt+.')
  await other.page.getByRole('status').getByText('You left it.').waitFor()
  expect(said).toEqual([])
  await page.context().close()
  await other.page.context().close()
})

test('who reads gets none, and the conductor that stops says so', async () => {
  const { page } = await bench.page()
  await bench.logIn(page, 'eye', '/ui/nodes/talks')
  expect(await page.getByRole('link', { name: 'Serial console' }).count()).toBe(0)
  await page.goto(`${bench.base}/ui/console/talks`)
  await page.getByText('A console needs an operator.').waitFor()
  await page.context().close()

  const holder = await bench.page()
  await bench.logIn(holder.page, 'anna')
  await holder.page.goto(`${bench.base}/ui/console/talks`)
  await holder.page.getByText('You have it.').waitFor()
  await bench.conductor.stop()
  await holder.page.getByRole('status').getByText('The conductor stops').waitFor()
  await bench.again()
  await holder.page.getByRole('button', { name: 'Connect again' }).click()
  await holder.page.getByText('You have it.').waitFor()
  await holder.page.context().close()
})

test('a machine that prints escape sequences gets colours, and neither links, the clipboard nor the title', async () => {
  const { page, said } = await bench.page()
  await bench.logIn(page)
  const typed: string[] = []
  let close = (): void => undefined
  await page.routeWebSocket('**/console', (socket) => {
    socket.onMessage((message) => void typed.push(String(message)))
    const send = (text: string) => socket.send(Buffer.from(text))
    send('\x1b]0;forged title\x07\x1b]2;forged title\x07')
    send(`\x1b]52;c;${Buffer.from('stolen').toString('base64')}\x07\x1b]52;c;?\x07`)
    send('\x1b]8;;https://evil.example/\x07a link\x1b]8;;\x07 https://evil.example/plain\r\n')
    send('\x1b[21t\x1b[14t<img src=x onerror="window.pwned=1">\r\n\x1b[31mred text\x1b[0m\r\nprinted')
    close = () => void socket.close({ code: 1011, reason: 'SOL session closed by BMC' })
  })
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
  await page.goto(`${bench.base}/ui/console/talks`)
  await page.locator(ROWS).getByText('printed').waitFor()
  close()
  await page.getByRole('status').getByText('Closed by the BMC: SOL session closed by BMC.').waitFor()
  const colour = (text: string) =>
    page.evaluate(
      `getComputedStyle([...document.querySelectorAll('${ROWS} span')].find((e) => e.textContent.includes('${text}'))).color`,
    )
  expect(await colour('red text')).not.toBe(await colour('printed'))
  expect(await page.title()).toBe('talks · console · Rackward')
  expect(await page.locator(`${ROWS} a, [class*="xterm-underline"]`).count()).toBe(0)
  expect(await page.evaluate('navigator.clipboard.readText()')).toBe('')
  // Neither the title, the size of the window nor the clipboard is typed back to it.
  expect(typed).toEqual([])
  expect(await page.evaluate('window.pwned')).toBeUndefined()
  expect(said).toEqual([])
  await page.context().close()
})
