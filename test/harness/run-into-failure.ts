import { openLog, Streams, StreamsBuilder, topic } from '../../src/index.ts'
import { stringKey } from '../../src/codec/key-codecs.ts'
import { string } from '../../src/codec/value-codecs.ts'

// A program whose own code throws at the second record.
const dataDir = process.argv[2] ?? ''
const words = topic('words', { key: stringKey, value: string, partitions: 1 })
const lengths = topic('lengths', { key: stringKey, value: string, partitions: 1 })

const log = await openLog({ dataDir })
await log.ensureTopics([{ name: 'words', partitions: 1 }])
const producer = log.producer()
await producer.send({ topic: words, key: 'k', value: 'fine' })
await producer.send({ topic: words, key: 'k', value: 'bad' })
await producer.close()
await log.close()

const builder = new StreamsBuilder()
builder
  .stream(words)
  .mapValues(
    (word) => {
      if (word === 'bad') throw new RangeError('no such word')
      return word
    },
    { name: 'check-word' },
  )
  .to(lengths)
await new Streams(builder.build(), { applicationId: 'app', dataDir }).run()
