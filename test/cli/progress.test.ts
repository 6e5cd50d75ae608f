/** What a terminal shows of many nodes: read back through a small model of a terminal. */
import { expect, test } from 'vitest'
import { appended, redrawn, timeText, type Row } from '../../cli/progress.ts'

/** Understands what we send: lines, cursor up, clear to the end, clear line. */
function terminal(): { write: (text: string) => void; lines: () => string[] } {
  const lines: string[] = ['']
  let at = 0
  return {
    lines: () => lines.slice(0, lines.at(-1) === '' ? -1 : undefined),
    write(text) {
      for (const part of text.replaceAll('\u001b', '\u241b').match(/␛\[\d*[AJK]|\n|[^␛\n]+/g) ?? []) {
        if (part === '\n') {
          at += 1
          lines[at] ??= ''
        } else if (part.endsWith('A') && part.startsWith('␛')) at -= Number(part.slice(2, -1))
        else if (part === '␛[0J') lines.splice(at, lines.length, '')
        else if (part === '␛[2K') lines[at] = ''
        else lines[at] = part
      }
    },
  }
}
const open = (name: string, share?: number): Row => ({
  name,
  end: 'open',
  state: 'deploying',
  says: 'write',
  ...(share === undefined ? {} : { share }),
})
const done = (name: string): Row => ({ name, end: 'done', state: 'active', says: '' })
const failed = (name: string): Row => ({ name, end: 'failed', state: 'deploy failed', says: 'no disk' })

test('what ended stays above, once; what goes on is redrawn below, with a line for the whole', () => {
  const { write, lines } = terminal()
  const screen = redrawn(write, () => ({ columns: 100, rows: 24 }))
  screen.draw([open('u1', 0.5), open('u2')], 1_000)
  expect(lines()).toEqual([
    '· u1           deploying       write',
    '· u2           deploying       write',
    '  █████░░░░░░░░░░░░░░░ 0 of 2 done  0:01',
  ])
  screen.draw([done('u1'), open('u2', 0.2)], 61_000)
  screen.draw([done('u1'), open('u2', 0.4)], 62_000)
  expect(lines()).toEqual([
    '✓ u1           active  1:01',
    '· u2           deploying       write',
    '  ██████████████░░░░░░ 1 of 2 done  1:02',
  ])
  screen.draw([done('u1'), failed('u2')], 63_000)
  expect(lines()).toEqual([
    '✓ u1           active  1:01',
    '✗ u2           deploy failed   no disk  1:03',
    '  ████████████████████ 1 of 2 done, 1 failed  1:03',
  ])
})

test('more than a terminal has lines: the furthest are shown, the others counted, and nothing is left behind', () => {
  const { write, lines } = terminal()
  const screen = redrawn(write, () => ({ columns: 60, rows: 8 }))
  const names = Array.from({ length: 40 }, (_, i) => `u${i}`)
  for (let step = 0; step <= 40; step += 1) {
    screen.draw(
      names.map((name, i) => (i < step ? done(name) : open(name, i / 40))),
      step * 1_000,
    )
    const below = lines().slice(step)
    expect(below.length).toBeLessThan(8)
    expect(below.at(-1)).toContain(`${step} of 40 done`)
    if (step < 34) expect(below.at(-2)).toMatch(/and \d+ more/)
  }
  expect(lines().map((line) => line.slice(0, 5))).toEqual([...names.map((name) => `✓ ${name.padEnd(3)}`), '  ███'])
  expect(lines().every((line) => line.length < 60)).toBe(true)
})

test('where nobody looks there is a line for each change of state', () => {
  let said = ''
  const screen = appended((text) => (said += text))
  for (const share of [0.1, 0.2, 0.3]) screen.draw([open('u1', share)], 0)
  screen.draw([done('u1')], 0)
  expect(said).toBe('· u1           deploying       write\n✓ u1           active\n')
})

test('times', () => {
  expect([0, 59_999, 60_000, 3_600_000].map(timeText)).toEqual(['0:00', '0:59', '1:00', '60:00'])
})
