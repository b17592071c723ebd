import { describe, expect, test } from 'vitest'
import { StatusLine } from '../../examples/shared/status-line.ts'
import { formatTable } from '../../examples/shared/tables.ts'

const status = { phase: 'counting', records: 0, lag: 10, streamTime: Date.UTC(2025, 0, 2, 3, 4, 5), commits: 1 }

function terminal(isTTY: boolean) {
  const written: string[] = []
  return { isTTY, columns: 60, written, write: (text: string) => written.push(text) }
}

describe('the status line', () => {
  test('is rewritten in place on a terminal and is never wider than the terminal', () => {
    const screen = terminal(true)
    let now = 0
    const line = new StatusLine(screen, () => now)
    line.update(status)
    now = 1000
    line.update({ ...status, records: 500, lag: 0 })
    for (const text of screen.written) {
      expect(text.startsWith('\r\x1b[K')).toBe(true)
      expect(text).not.toContain('\n')
      expect(text.length).toBeLessThan(60 + 4)
    }
    line.finish('done')
    expect(screen.written.slice(-2)).toEqual(['\r\x1b[K', 'done\n'])
  })

  test('is printed as plain lines, at most one per second, if the output is not a terminal', () => {
    const file = terminal(false)
    let now = 0
    const line = new StatusLine(file, () => now)
    for (; now <= 2000; now += 50) line.update({ ...status, records: now * 10 })
    expect(file.written.length).toBe(3)
    expect(file.written.join('')).not.toContain('\x1b')
    expect(file.written[2]).toBe(
      'counting  20,000 records  10,000/s  lag 10  stream time 2025-01-02 03:04:05  1 commits\n',
    )
  })

  test('shows the rate of the last second, not of the whole run', () => {
    const file = terminal(false)
    let now = 0
    const line = new StatusLine(file, () => now)
    for (; now <= 5000; now += 100) line.update({ ...status, records: now < 3000 ? 0 : now - 3000 })
    expect(file.written.at(-1)).toContain(' 1,000/s ')
  })
})

describe('a table', () => {
  test('aligns text to the left and numbers to the right, and prints no control characters', () => {
    const text = formatTable({
      title: 'T',
      columns: ['page', 'views'],
      rows: [
        ['/a\x1b[2J', 1234],
        ['/b', 5],
      ],
      note: 'n',
    })
    expect(text).toBe('T\n\n  page    views\n  ──────  ─────\n  /a?[2J  1,234\n  /b          5\n  n')
  })

  test('cuts a cell that is too long', () => {
    const text = formatTable({ title: 'T', columns: ['page'], rows: [['x'.repeat(500)]] })
    expect(Math.max(...text.split('\n').map((row) => row.length))).toBeLessThan(60)
  })
})
