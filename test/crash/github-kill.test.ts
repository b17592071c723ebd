import { expect, test } from 'vitest'
import { activityAnswers } from '../examples/github-oracle.ts'
import { madeUpEvents } from '../examples/made-up-activity.ts'
import { killGithubJob } from '../torture/github-kills.ts'

const seed = 20_260_801

test(`the github-activity job, killed while it loads and counts (seed ${seed}), gives the answers of a plain loop`, async () => {
  const lines = madeUpEvents({ seed, lines: 1500, lateMs: 1_800_000 })
  const { kills, violations } = await killGithubJob({
    seed,
    kills: 3,
    killsPerRound: 3,
    lines,
    args: ['--within', '20m', '--grace', '30m'],
    expected: activityAnswers(lines, { withinMs: 1_200_000, graceMs: 1_800_000 }),
  })

  expect(violations).toEqual([])
  expect(kills).toBe(3)
}, 180_000)
