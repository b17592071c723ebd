import { expect, test, vi } from 'vitest'
import { FetchWait } from '../../../../src/log/broker/reads/fetch-waiters.ts'
import { LogHarness } from '../../../harness/log-harness.ts'

const first = { topic: 'events', partition: 0 }
const second = { topic: 'events', partition: 1 }

test('an assignment that is refused changes nothing', async () => {
  const harness = await LogHarness.open()
  await harness.topic('events', 2)
  const reader = harness.log.broker.openReader({ isolation: 'durable' })
  reader.assign([{ at: first, offset: 0 }])

  expect(() =>
    reader.assign([
      { at: second, offset: 0 },
      { at: second, offset: 0 },
    ]),
  ).toThrow('a partition is assigned twice')

  const polled = reader.poll({ bytesMax: 1e6, waitMs: 60_000 })
  await harness.append('events', 0, ['to the first'])
  expect((await polled).map(({ at }) => at)).toEqual([first])
  await reader.close()
  await harness.close()
})

test('a reader leaves the lists of its partitions when it is assigned others', async () => {
  const harness = await LogHarness.open()
  await harness.topic('events', 2)
  const reader = harness.log.broker.openReader({ isolation: 'durable' })
  reader.assign([{ at: first, offset: 0 }])
  const polled = reader.poll({ bytesMax: 1e6, waitMs: 60_000 })
  await harness.append('events', 0, ['one'])
  await polled

  reader.assign([{ at: second, offset: 0 }])

  const woken = vi.spyOn(FetchWait.prototype, 'end')
  await harness.append('events', 0, ['two'])
  expect(woken).not.toHaveBeenCalled()
  woken.mockRestore()
  await reader.close()
  await harness.close()
})
