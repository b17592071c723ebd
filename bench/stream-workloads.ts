import { z } from 'zod'
import {
  bytes,
  bytesKey,
  hopping,
  json,
  number,
  string,
  stringKey,
  sessions,
  StreamsBuilder,
  topic,
  type Topology,
  tumbling,
  windowed,
} from 'millrace'
import { eventSchema, type Event } from './event-schema.ts'

export interface Place {
  readonly input: string
  readonly output: string
}

/**
 * The topologies of the rows, each the same as in the anchors. Names end in `-zod` if values are decoded and validated.
 */
export const workloads: { readonly [name: string]: (place: Place) => Topology } = {
  n0: ({ input, output }) => {
    const builder = new StreamsBuilder()
    builder
      .stream(topic(input, { key: bytesKey, value: bytes }))
      .mapValues((value) => value)
      .to(topic(output, { key: bytesKey, value: bytes, partitions: 4 }))
    return builder.build()
  },
  'n0-zod': ({ input, output }) => {
    const builder = new StreamsBuilder()
    builder
      .stream(topic(input, { key: z.string(), value: eventSchema, format: 'json' }))
      .mapValues((value) => value)
      .to(topic(output, { key: z.string(), value: eventSchema, format: 'json', partitions: 4 }))
    return builder.build()
  },
  filter: ({ input, output }) => {
    const builder = new StreamsBuilder()
    builder
      .stream(topic(input, { key: stringKey, value: json }))
      .filter((event) => (event as Event).type === 'push')
      .to(topic(output, { key: stringKey, value: json, partitions: 4 }))
    return builder.build()
  },
  w1: (place) => windowCount(place, tumbling('1m'), false),
  'w1-zod': (place) => windowCount(place, tumbling('1m'), true),
  'w1-sparse': (place) => windowCount(place, tumbling('1m'), false),
  w1h: (place) => windowCount(place, hopping('1m', { advance: '10s' }), false),
  sessions: ({ input, output }) => {
    const builder = new StreamsBuilder()
    const windows = sessions('30m')
    builder
      .stream(topic(input, { key: stringKey, value: json }))
      .groupBy((event) => (event as Event).actor, { key: stringKey })
      .windowedBy(windows)
      .count({ name: 'counts' })
      .toStream()
      .to(topic(output, { key: windowed(stringKey, windows), value: number, tombstones: true, partitions: 4 }))
    return builder.build()
  },
  join: ({ input, output }) => {
    const builder = new StreamsBuilder()
    const events = builder.stream(topic(input, { key: stringKey, value: json })).mapValues((event) => event as Event)
    const watches = events.filter((event) => event.type === 'watch')
    const forks = events.filter((event) => event.type === 'fork')
    watches
      .join(forks, (watch, fork) => `${watch.actor}|${fork.actor}`, {
        name: 'pairs',
        within: '10m',
        value: json,
        otherValue: json,
      })
      .to(topic(output, { key: stringKey, value: string, partitions: 4 }))
    return builder.build()
  },
  'stream-table': ({ input, output }) => {
    const builder = new StreamsBuilder()
    const events = builder.stream(topic(input, { key: stringKey, value: json }))
    const created = events.filter((event) => (event as Event).type === 'create').toTable({ name: 'created' })
    events.joinTable(created, (event) => event).to(topic(output, { key: stringKey, value: json, partitions: 4 }))
    return builder.build()
  },
  kt: (place) => keyCount(place, false),
  'kt-zod': (place) => keyCount(place, true),
}

/** Number of tasks that a record of the input passes through, if more than one. */
export const hopsOf: { readonly [workload: string]: number } = { sessions: 2 }

function windowCount({ input, output }: Place, windows: ReturnType<typeof tumbling>, validated: boolean): Topology {
  const builder = new StreamsBuilder()
  const counts = topic(output, { key: windowed(stringKey, windows), value: number, partitions: 4 })
  const source = validated
    ? builder.stream(topic(input, { key: z.string(), value: eventSchema, format: 'json' })).groupByKey()
    : builder.stream(topic(input, { key: stringKey, value: bytes })).groupByKey()
  source.windowedBy(windows).count({ name: 'counts' }).toStream().to(counts)
  return builder.build()
}

function keyCount({ input, output }: Place, validated: boolean): Topology {
  const builder = new StreamsBuilder()
  const source = validated
    ? builder.stream(topic(input, { key: z.string(), value: eventSchema, format: 'json' })).groupByKey()
    : builder.stream(topic(input, { key: stringKey, value: bytes })).groupByKey()
  source
    .count({ name: 'counts' })
    .toStream()
    .to(topic(output, { key: stringKey, value: number, partitions: 4 }))
  return builder.build()
}
