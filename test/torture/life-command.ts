import { parseArgs } from 'node:util'
import { leadLives, type LifeKind } from './client-lives.ts'
import type { LifeTotals } from './client-world.ts'

/** Leads random lives of the log's clients as a command asks, and prints violations. Exit code 1 if there are any. */
export async function runLives(kind: LifeKind): Promise<void> {
  const { values } = parseArgs({
    options: { lives: { type: 'string', default: '2000' }, seed: { type: 'string', default: '1' } },
  })
  const lives = Number(values.lives)
  const seed = Number(values.seed)
  if (!Number.isSafeInteger(lives) || lives < 1 || !Number.isSafeInteger(seed)) {
    console.error('--lives takes a count of 1 or more, --seed an integer')
    process.exit(2)
  }
  const started = performance.now()
  const seconds = (): string => ((performance.now() - started) / 1000).toFixed(0)
  let said = 0
  const sum: Record<string, number> = {}
  let done = 0
  let violations = 0
  // A violation ends its run; the next one continues with the next seed, until there are too many.
  while (done < lives && violations < violationsMax) {
    const totals = await leadLives({
      kind,
      lives: lives - done,
      seed: seed + done,
      onLife: (so) => {
        if (performance.now() - said < 5000) return
        said = performance.now()
        console.log(`${done + so.lives} of ${lives} lives, ${line(added({ ...sum }, so))}, ${seconds()} s`)
      },
    })
    done += totals.lives
    added(sum, totals)
    violations += totals.violations.length > 0 ? 1 : 0
    for (const violation of totals.violations) console.log(`VIOLATION ${violation}`)
  }
  console.log(
    `${done} lives (seeds ${seed} to ${seed + done - 1}), ${line(sum)}, ${violations} lives with violations, ${seconds()} s`,
  )
  process.exitCode = violations === 0 ? 0 : 1
}

const violationsMax = 20
const shown = [
  'sent',
  'acknowledged',
  'delivered',
  'transactions',
  'commits',
  'rebalances',
  'restarts',
  'administered',
  'checks',
] as const satisfies readonly (keyof LifeTotals)[]

function added(sum: Record<string, number>, totals: LifeTotals): Record<string, number> {
  for (const name of shown) sum[name] = (sum[name] ?? 0) + totals[name]
  return sum
}

function line(sum: Record<string, number>): string {
  return shown.map((name) => `${sum[name] ?? 0} ${name}`).join(', ')
}
