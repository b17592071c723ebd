import { expect, test } from 'vitest'
import type { Membership } from '../../../../src/log/api/log.ts'
import { LogHarness, recordOf } from '../../../harness/log-harness.ts'

const at = { topic: 'events', partition: 0 }

test('the generation of an application grows with every join, also across reopening', async () => {
  const harness = await LogHarness.open()
  await harness.topic('events')
  const generations: number[] = []
  for (let join = 0; join < 3000; join++) generations.push(await joinAndLeave(harness))
  await harness.close()
  await harness.reopen()
  for (let join = 0; join < 3000; join++) generations.push(await joinAndLeave(harness))
  harness.crash()
  await harness.reopen()
  generations.push(await joinAndLeave(harness))

  expect(generations.filter((generation, index) => index > 0 && generation <= (generations[index - 1] ?? 0))).toEqual(
    [],
  )
  expect(generations.every(Number.isSafeInteger)).toBe(true)
  await harness.close()
})

test('a commit prepared as an earlier member of the group is FENCED, however often the application has joined since', async () => {
  const harness = await LogHarness.open()
  await harness.topic('events')
  const zombie = join(harness)
  await zombie.leave()
  for (let count = 1; count < 1024; count++) await joinAndLeave(harness)
  const member = join(harness)

  const staged = harness.log.broker.openCommitter({ id: 'app' }).begin()
  staged.to(at).append(recordOf('late'), -1, 'output')
  const progress = { group: 'app', offsets: [], sections: [], build: null, configuration: '' }
  const { durable } = staged.commit({ ...progress, generation: zombie.generation })
  await expect(durable).rejects.toMatchObject({ code: 'FENCED' })
  await expect(harness.log.broker.commitOffsets('app', zombie.generation, [])).rejects.toMatchObject({ code: 'FENCED' })

  await harness.log.broker.commitOffsets('app', member.generation, [])
  expect(await harness.values('events', 0)).toEqual([])
  await harness.close()
})

function join(harness: LogHarness): Membership {
  return harness.log.broker.joinGroup({ group: 'app', topics: ['events'] })
}

async function joinAndLeave(harness: LogHarness): Promise<number> {
  const member = join(harness)
  await member.leave()
  return member.generation
}
