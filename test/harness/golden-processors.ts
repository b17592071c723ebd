import type { Header } from '../../src/log/api/record.ts'
import type {
  ProcessingContext,
  RecordContext,
  RecordProcessor,
  StreamRecord,
} from '../../src/dsl/operators/process.ts'
import type { KeyValueStore } from '../../src/streams/store/key-value-store.ts'
import { numberOf, textOf, UnknownFunction, type Key, type Value } from './golden-functions.ts'

/** A processor as a recorded topology describes it. */
export interface ProcessorSpec {
  readonly kind: string
  readonly [field: string]: unknown
}

type Context = RecordContext<Key, Value>
type GoldenRecord = StreamRecord<Key, Value>
type Golden = RecordProcessor<Key, Value, Key, Value>
type Store = KeyValueStore<Key, Value>

/** Forwards by a function of the record; `init` is what most of them do not need. */
function each(process: (record: GoldenRecord, context: Context) => void): () => Golden {
  return () => {
    let context: Context | null = null
    return {
      init: (given) => void (context = given),
      process: (record) => {
        if (context !== null) process(record, context)
      },
    }
  }
}

/** Makes the processors that the recordings name. */
export function goldenProcessor(spec: ProcessorSpec): () => Golden {
  const text = (field: string): string => wordOf(spec, field)
  const store = (context: ProcessingContext): Store => context.store<Store>(text('store'))
  switch (spec.kind) {
    case 'streamTime':
      return each((record, context) => context.forward({ ...record, value: String(context.streamTime) }))
    case 'wallClock':
      return each((record, context) => context.forward({ ...record, value: String(context.now()) }))
    case 'recordInfo':
      return each((record, context) => {
        const { origin } = context
        context.forward({ ...record, value: `${origin?.topic}-${origin?.partition}@${origin?.offset}` })
      })
    case 'fanOut':
      return each((record, context) => {
        for (let time = 1; time <= Number(spec['times']); time++)
          context.forward({ ...record, value: `${textOf(record.value)}#${time}` })
      })
    case 'shiftTimestamp':
      return each((record, context) =>
        context.forward({ ...record, timestamp: record.timestamp + Number(spec['byMs']) }),
      )
    case 'addHeader': {
      const added: Header = { key: text('name'), value: Buffer.from(text('value')) }
      return each((record, context) => context.forward({ ...record, headers: [...record.headers, added] }))
    }
    case 'clearHeaders':
      return each((record, context) => context.forward({ ...record, headers: [] }))
    case 'throwOn':
      return each((record, context) => {
        if (record.value === spec['value']) throw new Error('golden failure')
        context.forward(record)
      })
    case 'countInStore':
      return each((record, context) => {
        const count = numberOf(store(context).get(record.key)) + 1
        store(context).put(record.key, count)
        context.forward({ ...record, value: count })
      })
    case 'firstPerKey':
      return each((record, context) => {
        if (record.value !== null && store(context).putIfAbsent(record.key, record.value) === null)
          context.forward(record)
      })
    case 'lookup':
      return each((record, context) =>
        context.forward({ ...record, value: `${textOf(record.value)}+${textOf(store(context).get(record.key))}` }),
      )
    case 'punctuate':
      return () => punctuating(spec)
    case 'lastValueFlush':
      return () => flushing(spec)
    default:
      throw new UnknownFunction(`no processor is called ${spec.kind}`)
  }
}

function punctuating(spec: ProcessorSpec): Golden {
  let context: Context | null = null
  let fired = 0
  return {
    init(given) {
      context = given
      const schedule = given.schedule(scheduleOf(spec), (time) => {
        fired += 1
        if (fired === spec['cancelAfter']) schedule.cancel()
        given.forward({
          key: spec['key'] === undefined ? 'tick' : wordOf(spec, 'key'),
          value: String(time),
          timestamp: time,
        })
      })
    },
    process(record) {
      if (spec['passThrough'] !== false) context?.forward(record)
    },
  }
}

function flushing(spec: ProcessorSpec): Golden {
  let store: Store | null = null
  return {
    init(context) {
      const pending = context.store<Store>(wordOf(spec, 'store'))
      store = pending
      context.schedule(scheduleOf(spec), (time) => {
        for (const [key, value] of pending.all()) {
          context.forward({ key, value, timestamp: time })
          pending.delete(key)
        }
      })
    },
    process(record) {
      store?.put(record.key, record.value)
    },
  }
}

function wordOf(spec: ProcessorSpec, field: string): string {
  const word = spec[field]
  if (typeof word !== 'string') throw new Error(`the processor ${spec.kind} has no ${field}`)
  return word
}

function scheduleOf(spec: ProcessorSpec): Parameters<ProcessingContext['schedule']>[0] {
  return {
    every: Number(spec['intervalMs']),
    by: spec['clock'] === 'wallClock' ? 'wallClock' : 'streamTime',
    ...(spec['startMs'] === undefined ? {} : { start: Number(spec['startMs']) }),
  }
}
