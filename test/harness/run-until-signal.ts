/** Runs a small application until a signal, as a program of its own: `node run-until-signal.ts <directory> <signal>`. */
import { Streams } from '../../src/application.ts'
import { stringKey } from '../../src/codec/key-codecs.ts'
import { topic } from '../../src/codec/topic.ts'
import { long, string } from '../../src/codec/value-codecs.ts'
import { StreamsBuilder } from '../../src/dsl/streams-builder.ts'

const words = topic('words', { key: stringKey, value: string, partitions: 2 })
const counts = topic('counts', { key: stringKey, value: long, partitions: 1 })
const builder = new StreamsBuilder()
builder.stream(words).groupByKey().count({ name: 'by-word' }).toStream().to(counts)

const streams = new Streams(builder.build(), { applicationId: 'signals', dataDir: process.argv[2] ?? 'data' })
// The signal comes twice, the second time while the first is being handled.
streams.onPhase((phase) => void (phase === 'closing' && process.kill(process.pid, process.argv[3])))
const ended = streams.run()
await streams.start()
process.stdout.write('running\n')
await ended
process.stdout.write(`${streams.phase}\n`)
