import { expect, test } from 'vitest'
import { ClientHarness } from './client-harness.ts'

const at = { topic: 'events', partition: 0 }

test('transactions can be listed with their phase, described and aborted, which fences their producer', async () => {
  const harness = await ClientHarness.open([{ name: 'events', partitions: 1 }])
  const { admin } = harness
  for (const transactionalId of ['b', 'a']) await harness.producer({ transactionalId }).initTransactions()
  const producer = harness.producer({ transactionalId: 'open' })
  await producer.initTransactions()
  producer.beginTransaction()
  await producer.send({ topic: 'events', value: 'half' })

  expect(admin.listTransactions().map(({ transactionalId, phase }) => [transactionalId, phase])).toEqual([
    ['a', 'empty'],
    ['b', 'empty'],
    ['open', 'ongoing'],
  ])
  expect(admin.describeTransaction('open')).toMatchObject({ phase: 'ongoing', partitions: [at] })
  expect(admin.describeProducers(at)).toMatchObject([{ transactionStart: 0 }])

  await admin.abortTransaction('open')
  expect(admin.describeTransaction('open')).toMatchObject({ phase: 'empty', partitions: [] })
  await expect(producer.commitTransaction()).rejects.toMatchObject({ code: 'PRODUCER_FENCED' })

  await expect(admin.abortTransaction('open')).rejects.toMatchObject({ code: 'INVALID_TXN_STATE' })
  await expect(admin.abortTransaction('none')).rejects.toMatchObject({ code: 'TRANSACTIONAL_ID_NOT_FOUND' })
  expect(() => admin.describeTransaction('none')).toThrow('TRANSACTIONAL_ID_NOT_FOUND')
  await harness.close()
})
