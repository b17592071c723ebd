import { SeededRandom } from '../../src/base/seeded-random.ts'

/** Lines of events as GitHub's archive has them: out of order by up to `lateMs`, with jumps in time, bots and harm. */
export function madeUpEvents(options: {
  readonly seed: number
  readonly lines: number
  readonly lateMs: number
}): string[] {
  const random = new SeededRandom(options.seed)
  const types = 'push push push create watch watch fork icomment pr issue del'.split(' ')
  let time = Date.UTC(2016, 1, 28, 22)
  return Array.from({ length: options.lines }, (_, id) => {
    time += random.chance(0.002) ? random.between(1, 40) * 600_000 : random.between(0, 3) * 1000
    const dt = iso(random.chance(0.1) ? time - random.below(options.lateMs / 1000) * 1000 : time)
    // Few of each, so that watches and forks of the same actor and repository are paired, also with equal times.
    const actor = random.chance(0.2) ? 'a bot' : `ann-${random.below(40)}`
    const repo = random.chance(0.2) ? 'org/fülle' : `org/repo-${random.below(25)}`
    if (random.chance(0.01)) return harmed(random, { id: String(id), dt, repo, type: 'push', actor })
    return JSON.stringify({ id: String(id), dt, repo, type: types[random.below(types.length)], actor, age: 'new' })
  })
}

/** Touches of files, a fifth of them late, by seconds or by years, and some from the future. */
export function madeUpTouches(options: { readonly seed: number; readonly lines: number }): string[] {
  const random = new SeededRandom(options.seed)
  let committed = 1_300_487_820
  return Array.from({ length: options.lines }, () => {
    committed += random.chance(0.05) ? random.between(1, 6) * 1200 : random.between(0, 20)
    const behind = [0, 0, 0, 0, random.below(1800), random.below(8000), random.below(100_000_000)][random.below(7)] ?? 0
    const authored = random.chance(0.002) ? committed + random.below(100_000) : Math.max(0, committed - behind)
    if (random.chance(0.01))
      return ['', `${committed}\t-1\torg/a\t1\tpath`, `${committed}\t${authored}\torg/a\t1`][random.below(3)] ?? ''
    const author = Math.floor(20 * random.next() ** 2)
    return `${committed}\t${authored}\torg/repo-${random.below(5)}\t${author}\tsrc/file-${random.below(9)}.ts`
  })
}

function harmed(random: SeededRandom, event: { readonly [field: string]: string }): string {
  const line = JSON.stringify(event)
  switch (random.below(5)) {
    case 0:
      return line.slice(0, -2)
    case 1:
      return JSON.stringify({ ...event, dt: 'yesterday' })
    case 2:
      return JSON.stringify({ ...event, repo: undefined })
    case 3:
      return JSON.stringify({ ...event, actor: 7 })
    default:
      return ''
  }
}

function iso(time: number): string {
  return new Date(time).toISOString().replace('.000', '')
}
