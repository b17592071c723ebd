import { parseArgs } from 'node:util'
import { cutPower } from './power-scenarios.ts'

/** `npm run torture:power -- --states N --seed S`: cuts the power N times and prints violations. Exit code 1 if any. */
const { values } = parseArgs({
  options: { states: { type: 'string', default: '500000' }, seed: { type: 'string', default: '1' } },
})
const states = Number(values.states)
const seed = Number(values.seed)
if (!Number.isSafeInteger(states) || states < 1 || !Number.isSafeInteger(seed)) {
  console.error('--states takes a count of 1 or more, --seed an integer')
  process.exit(2)
}

const violationsMax = 20
const started = performance.now()
const seconds = (): string => ((performance.now() - started) / 1000).toFixed(0)
let said = 0
const violations: string[] = []
let next = seed
const sum = { states: 0, inside: 0, operations: 0, lives: 0 }
// A violation ends its run; the next run continues with the next seed, until there are too many violations.
while (sum.states < states && violations.length < violationsMax) {
  const totals = await cutPower({
    states: states - sum.states,
    seed: next,
    onLife: (so) => {
      if (performance.now() - said < 5000) return
      said = performance.now()
      console.log(`${sum.states + so.states} of ${states} states, ${sum.lives + so.lives} lives, ${seconds()} s`)
    },
  })
  next += totals.lives
  sum.states += totals.states
  sum.inside += totals.insideRecovery
  sum.operations += totals.operations
  sum.lives += totals.lives
  for (const violation of totals.violations) {
    violations.push(violation)
    console.log(`VIOLATION ${violation}`)
  }
}
console.log(
  `${sum.states} states of ${sum.lives} lives (seeds ${seed} to ${next - 1}), ${sum.inside} of them cuts inside recovery, ` +
    `power cut at ${sum.operations} operations, ${violations.length} violations, ${seconds()} s`,
)
process.exitCode = violations.length === 0 ? 0 : 1
