/**
 * `npm run torture:github -- [--kills N] [--seed S] [--input FILE] [--format events|touches]`: kills the github-activity
 * job N times (100), on a generated input or a file, and compares its answers with those of a plain loop. Exit code 1
 * if anything differs.
 */
import { parseArgs } from 'node:util'
import { openLines } from '../../examples/shared/lines.ts'
import { activityAnswers, touchesAnswers } from '../examples/github-oracle.ts'
import { madeUpEvents, madeUpTouches } from '../examples/made-up-activity.ts'
import { type GithubKillTotals, killGithubJob } from './github-kills.ts'

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '100' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    input: { type: 'string' },
    format: { type: 'string', default: 'events' },
  },
})
const [kills, seed] = [Number(values.kills), Number(values.seed)]
const hourMs = 3_600_000

async function linesOf(): Promise<string[]> {
  if (values.input === undefined)
    return values.format === 'touches'
      ? madeUpTouches({ seed, lines: 20_000 })
      : madeUpEvents({ seed, lines: 20_000, lateMs: hourMs })
  const lines: string[] = []
  for await (const piece of await openLines(values.input)) lines.push(...piece)
  return lines
}

function line({ kills: done, whileLoading, rounds }: GithubKillTotals): string {
  return `${done} kills, ${whileLoading} of them while loading, ${rounds} rounds`
}

const lines = await linesOf()
process.stderr.write(`${kills} kills, seed ${seed}, ${lines.length} lines\n`)
const totals = await killGithubJob({
  seed,
  kills,
  killsPerRound: 10,
  lines,
  args: ['--format', values.format],
  expected:
    values.format === 'touches'
      ? touchesAnswers(lines, hourMs)
      : activityAnswers(lines, { withinMs: hourMs, graceMs: hourMs }),
  progress: (now) => process.stderr.write(process.stderr.isTTY ? `\r${line(now)}` : `${line(now)}\n`),
})
process.stdout.write(`seed ${seed}: ${line(totals)}, ${totals.violations.length} violations\n`)
for (const violation of totals.violations) process.stdout.write(`  ${violation}\n`)
if (totals.violations.length > 0) process.exitCode = 1
