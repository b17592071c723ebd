import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { writeInto } from '../../bench/document.ts'
import { commandOf } from '../../bench/options.ts'
import type { Row } from '../../bench/report.ts'
import { readRows } from '../../bench/rows-file.ts'

const spread = (median: number): { min: number; median: number; max: number } => ({
  min: median - 1,
  median,
  max: median + 1,
})

function row(workload: string, fields: Partial<Row>): Row {
  return {
    workload,
    system: 'millrace',
    sync: 'commit',
    records: 1000,
    runs: 3,
    command: 'npm run bench -- first',
    machine: '2 x CPU, 4 GiB, linux, Node v24.0.0',
    source: 'gharchive-10h',
    commit: 'abc1234',
    ...fields,
  }
}

const again = { command: 'npm run bench -- second', source: 'synthetic, seed 7', commit: 'def5678', runs: 1 }

test('the tables show rate, floor, ratios, CPU and run of each row, and by how much a target is missed', () => {
  const rows = [
    row('w1', {
      recordsPerSecond: spread(300_000),
      ofFloor: 0.31,
      ratio: 6,
      cpuRatio: 5.4,
      cpuSecondsPerMillion: spread(4),
      peakRssApp: spread(240),
    }),
    row('w1', { system: 'Kafka Streams', sync: 'page cache', recordsPerSecond: spread(50_000) }),
    row('paced 20,000/s', { p99Ms: spread(12), note: 'p99 12 ms' }),
  ]

  expect(writeInto('# Performance\n\nBy hand.\n', rows)).toBe(`# Performance

By hand.

<!-- bench:log -->

| row            | system   | sync   | records/s, median (min-max) | of floor | times Kafka | per CPU second | CPU s per million | peak MiB | other     | run |
| -------------- | -------- | ------ | --------------------------- | -------- | ----------- | -------------- | ----------------- | -------- | --------- | --- |
| paced 20,000/s | millrace | commit |                             |          |             |                |                   |          | p99 12 ms | 1   |

1. \`npm run bench -- first\`; 2 x CPU, 4 GiB, linux, Node v24.0.0; 3 runs of each; input gharchive-10h (a file: no seed); commit abc1234

<!-- bench:log end -->

<!-- bench:streams -->

| row | system        | sync       | records/s, median (min-max) | of floor | times Kafka | per CPU second | CPU s per million | peak MiB | other | run |
| --- | ------------- | ---------- | --------------------------- | -------- | ----------- | -------------- | ----------------- | -------- | ----- | --- |
| w1  | millrace      | commit     | 300,000 (299,999-300,001)   | 0.31     | 6.00        | 5.40           | 4.00              | 240      |       | 1   |
| w1  | Kafka Streams | page cache | 50,000 (49,999-50,001)      |          |             |                |                   |          |       | 1   |

1. \`npm run bench -- first\`; 2 x CPU, 4 GiB, linux, Node v24.0.0; 3 runs of each; input gharchive-10h (a file: no seed); commit abc1234

<!-- bench:streams end -->

<!-- bench:targets -->

| target                                        | at least or at most | measured  | verdict        | run |
| --------------------------------------------- | ------------------- | --------- | -------------- | --- |
| W1 against Kafka                              | at least 5 times    | 6 times   | met            | 1   |
| W1 against Kafka per CPU second               | at least 6 times    | 5.4 times | missed by 10 % | 1   |
| W1, of the floor                              | at least 0.4        | 0.31      | missed by 23 % | 1   |
| W1 resident                                   | at most 250 MiB     | 240 MiB   | met            | 1   |
| paced 20,000/s, synced before the answer, p99 | at most 10 ms       | 12 ms     | missed by 20 % | 1   |

1. \`npm run bench -- first\`; 2 x CPU, 4 GiB, linux, Node v24.0.0; 3 runs of each; input gharchive-10h (a file: no seed); commit abc1234

<!-- bench:targets end -->
`)
})

test('only rows that ran again are replaced, and each row keeps the run that it came from', () => {
  const first = [row('n0', { recordsPerSecond: spread(400_000), ratio: 4.2 }), row('kt', { ofFloor: 0.5 })]
  const before = writeInto('Above.\n\n<!-- bench:streams -->\n\n<!-- bench:streams end -->\n\nBelow.\n', first)

  const text = writeInto(before, [row('n0', { ...again, recordsPerSecond: spread(200_000), ratio: 2 })])

  const lines = text.split('\n').map((line) => line.replaceAll(/ +/g, ' '))
  expect(lines).toContain('| n0 | millrace | commit | 200,000 (199,999-200,001) | | 2.00 | | | | | 1 |')
  expect(lines).toContain('| kt | millrace | commit | | 0.50 | | | | | | 2 |')
  expect(lines).toContain('| pass-through against Kafka | at least 4 times | 2 times | missed by 50 % | 1 |')
  expect(lines).toContain('| count per key, of the floor | at least 0.4 | 0.5 | met | 2 |')
  const list = lines.filter((line) => /^\d\. /.test(line)).slice(0, 2)
  expect(list[0]).toContain('1. `npm run bench -- second`; 2 x CPU')
  expect(list[0]).toContain('1 run of each; input synthetic, seed 7; commit def5678')
  expect(list[1]).toContain('2. `npm run bench -- first`')
  expect(text.indexOf('Above.')).toBeLessThan(text.indexOf('| n0'))
  expect(text.indexOf('| kt')).toBeLessThan(text.indexOf('Below.'))
})

test('writing the same rows again changes nothing', () => {
  const rows = [row('n0', { recordsPerSecond: spread(400_000) }), row('open after SIGKILL, 100 partitions', {})]
  const once = writeInto('# Performance\n', rows)

  expect(writeInto(once, rows)).toBe(once)
})

test('another sync mode or another system gets a line of its own next to its row', () => {
  const first = writeInto('', [row('append 100 B', { sync: 'os' }), row('64 callers', {})])

  const text = writeInto(first, [
    row('append 100 B', {}),
    row('append 100 B', { system: 'Kafka', sync: 'fsync per append' }),
  ])

  const keys = text
    .split('\n')
    .filter((line) => line.startsWith('| append') || line.startsWith('| 64'))
    .map((line) =>
      line
        .split('|')
        .slice(1, 4)
        .map((cell) => cell.trim())
        .join('/'),
    )
  expect(keys.slice(0, 4)).toEqual([
    'append 100 B/millrace/os',
    'append 100 B/millrace/commit',
    'append 100 B/Kafka/fsync per append',
    '64 callers/millrace/commit',
  ])
})

test('a start marker without its end marker is refused before anything is written', () => {
  expect(() => writeInto('<!-- bench:streams -->\n', [row('n0', {})])).toThrow('alone')
})

test('rows are read from what --out wrote or --json printed, and any other file is refused', () => {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-rows-'))
  const path = join(directory, 'rows.json')
  const rows = [row('n0', {}), row('kt', {})]
  try {
    for (const text of [
      JSON.stringify({ rows }, null, 2),
      JSON.stringify({ rows }),
      ['> tsx', ...rows.map((each) => JSON.stringify(each))].join('\n'),
    ]) {
      writeFileSync(path, text)
      expect(readRows(path)).toEqual(rows)
    }
    for (const text of ['', '{}', '{"rows":[1]}', 'no JSON', '{"workload":"n0"']) {
      writeFileSync(path, text)
      expect(() => readRows(path), text).toThrow('has no rows')
    }
  } finally {
    rmSync(directory, { recursive: true })
  }
  expect(() => readRows(path)).toThrow('cannot be read')
})

test('the recorded command names what was run, without paths of files', () => {
  const command = commandOf([
    'log',
    '--runs',
    '3',
    '--doc',
    'docs/performance.md',
    '--anchors=/a',
    '--against',
    'kafka',
    '--json',
  ])

  expect(command).toBe('npm run bench -- log --runs 3 --against kafka')
})
