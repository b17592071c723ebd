/**
 * `npm run torture:job -- [--kills N] [--seed S] [--events N]`: kills the web-activity job N times (500), in
 * two ways to count, and compares what it leaves behind with an undisturbed run. Exit code 1 if anything differs.
 */
import { parseArgs } from 'node:util'
import { killJob, LoadedJob, type KillTotals } from './job-kills.ts'

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '500' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    events: { type: 'string', default: '10000' },
  },
})
const [kills, seed, events] = [Number(values.kills), Number(values.seed), Number(values.events)]
const say = (text: string): void => void process.stderr.write(text)
// On a terminal one line that is rewritten; elsewhere a line each.
const progress = (text: string): void => say(process.stderr.isTTY ? `\r${text.padEnd(100)}` : `${text}\n`)
const startedAt = performance.now()
say(`${kills} kills, seed ${seed}, ${events} events\n`)

function line({ kills: done, rounds, rolls, checkpoints }: KillTotals): string {
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0)
  return `${done} kills, ${rounds} rounds, ${rolls} rolls, ${checkpoints} checkpoints, ${seconds} s`
}

const ways = [
  { name: 'every update', emit: 'update', share: 0.6 },
  { name: 'newest per commit', emit: 'commit', share: 0.4 },
] as const
let left = kills
const job = await LoadedJob.load({ seed, events })
try {
  for (const [index, { name, emit, share }] of ways.entries()) {
    const part = index === ways.length - 1 ? left : Math.min(left, Math.ceil(kills * share))
    left -= part
    const totals = await killJob(job, {
      emit,
      kills: part,
      killsPerRound: 10,
      progress: (now) => progress(`${name}: ${line(now)}`),
    })
    if (process.stderr.isTTY) say('\n')
    process.stdout.write(`${name}, seed ${seed}: ${line(totals)}, ${totals.violations.length} violations\n`)
    for (const violation of totals.violations) process.stdout.write(`  ${violation}\n`)
    if (totals.violations.length > 0) process.exitCode = 1
  }
} finally {
  job.remove()
}
