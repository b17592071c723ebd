import { z } from 'zod'
import {
  bytes,
  bytesKey,
  hopping,
  json,
  number,
  stringKey,
  StreamsBuilder,
  topic,
  type Topology,
  tumbling,
  windowed,
} from '../src/index.ts'
import { eventSchema, type Event } from './floor.ts'

export interface Place {
  readonly input: string
  readonly output: string
}

/** The topologies of the rows, each as the anchors have it. Names end in `-zod` where values are decoded and validated. */
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
  kt: (place) => keyCount(place, false),
  'kt-zod': (place) => keyCount(place, true),
}

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
