import { expect, test } from 'vitest'
import { stringKey } from '../../../src/codec/key-codecs.ts'
import { topic } from '../../../src/codec/topic.ts'
import { string } from '../../../src/codec/value-codecs.ts'
import { StreamsBuilder } from '../../../src/dsl/streams-builder.ts'
import { StreamsHarness } from '../../harness/streams-harness.ts'

const busy = topic('busy', { key: stringKey, value: string })
const idle = topic('idle', { key: stringKey, value: string })
const output = topic('out', { key: stringKey, value: string })

/** Every record fills the buffer of its input, so that the input is left out of the poll until the record is processed. */
async function given(): Promise<StreamsHarness> {
  const builder = new StreamsBuilder()
  builder.stream(busy).merge(builder.stream(idle)).to(output)
  return StreamsHarness.open(
    builder.build(),
    { busy: 1, idle: 1, out: 1 },
    { bufferedBytesMax: 1, pollBytesMax: 1, overlayBytesMax: 1 },
  )
}

const count = 20

test('the worker does not rest between two fetches of a backlog', async () => {
  const app = await given()
  for (const name of ['busy', 'idle'])
    for (let index = 0; index < count; index++) await app.send(name, [['k', `${name} ${index}`, index]])

  await app.start()
  for (let elapsed = 0; elapsed < 100; elapsed++) await app.harness.clock.run(1)

  expect(await app.read('out')).toHaveLength(2 * count)
  await app.close()
})

test('a record is fetched at once even if its input was full when the poll began', async () => {
  const app = await given()
  await app.start()
  for (let index = 0; index < count; index++) {
    await app.send('busy', [['k', `a ${index}`, index]])
    await app.harness.clock.run(20)
    expect(await app.read('out'), `record ${index}`).toHaveLength(index + 1)
  }
  await app.close()
})
