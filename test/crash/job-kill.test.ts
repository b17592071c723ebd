import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { killJob, LoadedJob, type KillTotals } from '../torture/job-kills.ts'

/**
 * The web-activity job is killed with SIGKILL at random moments and started again until it is done: what it leaves
 * behind is what an undisturbed run leaves behind, although some of its events are late. `npm run torture:job` does the same for longer.
 */
const seed = 20
const timeoutMs = 240_000

describe(`a job that is killed repeatedly (seed ${seed})`, () => {
  let job: LoadedJob
  beforeAll(async () => void (job = await LoadedJob.load({ seed, events: 2_500 })), timeoutMs)
  afterAll(() => job.remove())

  test(
    'writes every output once and in order, and ends with the same last values and stores',
    async () => {
      const kills: readonly KillTotals[] = await Promise.all([
        killJob(job, { emit: 'update', kills: 10, killsPerRound: 5 }),
        killJob(job, { emit: 'commit', kills: 10, killsPerRound: 5 }),
      ])

      expect(kills.flatMap(({ violations }) => violations)).toEqual([])
      const sum = (count: (totals: KillTotals) => number): number =>
        kills.reduce((all, totals) => all + count(totals), 0)
      expect(sum(({ kills: count }) => count)).toBeGreaterThanOrEqual(20)
      // Otherwise the test would prove nothing about file rolls and checkpoints.
      expect(sum(({ rolls, checkpoints }) => rolls + checkpoints)).toBeGreaterThanOrEqual(100)
      expect(sum(({ checkpoints }) => checkpoints)).toBeGreaterThanOrEqual(20)
    },
    timeoutMs,
  )

  test(
    'fails this check when it commits offsets before outputs',
    async () => {
      const { violations } = await killJob(job, { emit: 'update', kills: 1, killsPerRound: 1, bug: true })

      expect(violations).not.toEqual([])
    },
    timeoutMs,
  )
})
