import { existsSync, readFileSync } from 'node:fs'
import { brotliDecompressSync } from 'node:zlib'
import { SeededRandom } from '../src/base/seeded-random.ts'

/**
 * The events that are the input of every row: keys, values as bytes, and times from 0, without the gaps between hours.
 */
export interface Events {
  readonly source: string
  readonly keys: readonly Buffer[]
  readonly values: readonly Buffer[]
  readonly times: Float64Array
}

const base: number = Date.parse('2015-02-22T21:00:00Z')
const span = 36_000_000

/**
 * Time of record `index` when the data set is repeated: each copy is later by the span of the data. The anchors use the
 * same formula.
 */
export function timeOf(events: Events, index: number, speed: number): number {
  const copy = Math.floor(index / events.keys.length)
  return base + Math.floor((copy * span + (events.times[index % events.keys.length] ?? 0)) / speed)
}

/** The gharchive sample if it is present, else generated events of the same shape, which the row then mentions. */
export function readEvents(file: string): Events {
  return existsSync(file) ? readArchive(file) : syntheticEvents(266_105, 20150222)
}

function readArchive(file: string): Events {
  const text = brotliDecompressSync(readFileSync(file)).toString('utf8')
  const lines = text.split('\n').filter((line) => line !== '')
  const hours = new Map<string, number>()
  const times = new Float64Array(lines.length)
  const keys: Buffer[] = []
  const values: Buffer[] = []
  for (const [index, line] of lines.entries()) {
    const at = field(line, 'dt')
    const hourText = at.slice(0, 13)
    const hour = hours.get(hourText) ?? hours.size
    hours.set(hourText, hour)
    times[index] = hour * 3_600_000 + (Number(at.slice(14, 16)) * 60 + Number(at.slice(17, 19))) * 1000
    keys.push(Buffer.from(field(line, 'repo')))
    values.push(Buffer.from(line))
  }
  return { source: 'gharchive-10h', keys, values, times }
}

/** No value in the file contains escapes, so a plain search is correct. */
function field(json: string, name: string): string {
  const start = json.indexOf(`"${name}":"`) + name.length + 4
  return json.slice(start, json.indexOf('"', start))
}

/** About as many repositories, lines of the same length, and times that are nearly in order. */
function syntheticEvents(count: number, seed: number): Events {
  const random = new SeededRandom(seed)
  const types = ['push', 'push', 'push', 'push', 'push', 'create', 'watch', 'icomment', 'pr', 'issue', 'fork']
  const times = new Float64Array(count)
  const keys: Buffer[] = []
  const values: Buffer[] = []
  for (let index = 0; index < count; index++) {
    const repository = Math.floor(120_000 * random.next() ** 2.2)
    const repo = `owner${repository % 40_000}/repository-${repository}`
    const time = Math.floor((index / count) * span)
    times[index] = time - (random.chance(0.001) ? random.below(60_000) : 0)
    const dt = new Date(base + time).toISOString().slice(0, 19)
    keys.push(Buffer.from(repo))
    values.push(
      Buffer.from(
        `{"id":"${2_600_000_000 + index}","dt":"${dt}","repo":"${repo}","type":"${random.pick(types)}","actor":"actor${random.below(95_000)}"}`,
      ),
    )
  }
  return { source: `synthetic, seed ${seed}`, keys, values, times }
}
