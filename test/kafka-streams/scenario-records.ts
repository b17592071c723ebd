import type { SeededRandom } from '../../src/base/seeded-random.ts'
import type { ScenarioTopic, Step } from '../harness/golden-scenario.ts'

/**
 * Up to 60 records for the inputs among `topics`, with few keys and even times that often tie; unless they have to be in
 * order, some may be late by a little or a lot. Some values are null, some keys, and some steps move the wall clock.
 */
export function someRecords(
  random: SeededRandom,
  topics: { readonly [name: string]: ScenarioTopic },
  options: { readonly inOrder: boolean },
): Step[] {
  const inputs = Object.keys(topics).filter((name) => topics[name]?.role === 'input')
  const latenessMs = options.inOrder ? 0 : random.pick([0, 0, 8, 30, 1000])
  const withHeaders = random.chance(0.15)
  const keys = ['a', 'b', 'ab', 'c'].slice(0, random.between(1, 4))
  const stepMs = random.pick([1, 2, 4, 10])
  const steps: Step[] = []
  const count = random.between(5, 60)
  let now = 0
  for (let step = 0; step < count; step++) {
    now += 2 * random.below(stepMs + 1)
    if (random.chance(0.05)) now += 2 * random.below(40)
    if (random.chance(0.1)) {
      steps.push({ advanceWallClock: random.between(1, 30) })
      continue
    }
    const topic = random.pick(inputs)
    const late = latenessMs > 0 && random.chance(0.4) ? 2 * random.below(latenessMs / 2 + 1) : 0
    // Tables are about deletions. After a restart, a global table counts the null keys that it drops once more.
    const isGlobal = topic === 'globals'
    const isTable = isGlobal || topic.includes('rows')
    const number = random.below(13)
    const value = topics[topic]?.value === 'long' ? number : String(number)
    steps.push({
      pipe: {
        topic,
        key: !isGlobal && random.chance(0.04) ? null : random.pick(keys),
        value: random.chance(isTable ? 0.2 : 0.06) ? null : value,
        timestamp: Math.max(0, now - late),
        ...(withHeaders && random.chance(0.5) ? { headers: [['h', String(step)]] as const } : {}),
      },
    })
  }
  return steps
}
