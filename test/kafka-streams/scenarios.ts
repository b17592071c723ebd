import { SeededRandom } from '../../src/base/seeded-random.ts'
import type { ProcessorSpec } from '../harness/golden-processors.ts'
import type { Operation, Scenario, ScenarioTopic } from '../harness/golden-scenario.ts'
import { someJoiner, someKeyFunction, somePredicate, someValueFunction, type Content } from './scenario-functions.ts'
import { someRecords } from './scenario-records.ts'
import { someWindows } from './scenario-windows.ts'

/** A scenario before it is run: its steps are what is piped in. */
export type BareScenario = Pick<Scenario, 'name' | 'title' | 'area' | 'topics' | 'topology' | 'steps'> & {
  /** The stores to look into at the end; their rows expire after the retention. */
  readonly stores: { readonly [name: string]: StoreKind & { readonly entries: readonly [] } }
}

interface StoreKind {
  readonly kind: 'keyValue' | 'window' | 'session' | 'plain'
  readonly retentionMs?: number
}

/**
 * Makes a random scenario in the format of the recordings: up to five inputs, up to six operators on them in any
 * combination, and records for them. The same seed always makes the same scenario.
 *
 * It stays clear of what Kafka does by accident and we deliberately do not follow; test/golden/deviations.ts has the
 * reasons:
 * - Times are even, and the gap plus the grace of sessions is odd, so that no record arrives exactly when one closes.
 * - Results that are emitted at the close of a window have a retention of a day.
 * - The records of left and outer joins of streams are in order of time, and their windows reach to both sides.
 * - A table that is joined with itself, on whatever detour, is not grouped or joined further: Kafka computes its old values
 *   anew.
 * - Tables of counts and aggregates, whose first results have the initial value as their old value in Kafka, are not
 *   filtered, grouped or joined further as tables, nor are sessions and sliding windows.
 * - Stream time is used only where there is one input: Kafka's driver runs all parts of a topology in one task.
 * - Of two sides of a join or merge, one at most comes from a repartition topic: which of two topics is read first is
 *   not specified.
 */
export function randomScenario(seed: number): BareScenario {
  return new Generator(seed).scenario()
}

/** A stream or table that the next operators can use. */
interface Part {
  readonly name: string
  readonly kind: 'stream' | 'table'
  readonly key: 'plain' | 'time' | 'session'
  readonly windowSizeMs: number
  readonly content: Content
  /** A table whose results may have an old value that never existed; what is made of it. */
  readonly isTainted: boolean
  /** Whether its records passed a repartition topic. */
  readonly isRepartitioned: boolean
  /** Whether its records are in the order of time if those of the inputs are. */
  readonly isOrdered: boolean
  /** Whether its keys are certainly not null. */
  readonly isKeyed: boolean
  /** The tables of topics and groups that it is made of. */
  readonly tables: readonly string[]
  /** Whether its key was changed, so that the next grouping or join makes a repartition topic. */
  readonly isRekeyed: boolean
}

class Generator {
  readonly #random: SeededRandom
  readonly #topics: { [name: string]: ScenarioTopic } = {}
  readonly #topology: Operation[] = []
  readonly #parts: Part[] = []
  readonly #used = new Set<string>()
  readonly #stores: { [name: string]: StoreKind & { readonly entries: readonly [] } } = {}
  #globalTable: Content | null = null
  #count = 0
  #needsOrder = false
  #sources = 0
  #usesStreamTime = false
  #shiftsTime = false

  constructor(seed: number) {
    this.#random = new SeededRandom(seed)
    // The first numbers of neighboring seeds are alike.
    for (let skipped = 0; skipped < 5; skipped++) this.#random.next()
  }

  scenario(): BareScenario {
    const random = this.#random
    this.#source('in', 'stream')
    if (random.chance(0.6)) this.#source('other', 'stream')
    if (random.chance(0.4)) this.#source('rows', 'table')
    if (random.chance(0.3)) this.#source('more-rows', 'table')
    if (random.chance(0.2)) this.#source('globals', 'globalTable')
    const count = random.between(1, 6)
    for (let made = 0; made < count;) if (this.#operate()) made += 1
    this.#end()
    const { seed } = random
    return {
      name: `seed-${seed}`,
      title: `random scenario ${seed}`,
      area: 'random',
      topics: this.#topics,
      topology: this.#topology,
      steps: someRecords(random, this.#topics, { inOrder: this.#needsOrder }),
      stores: this.#stores,
    }
  }

  #source(topic: string, kind: 'stream' | 'table' | 'globalTable'): void {
    this.#sources += 1
    const content = this.#random.pick(['digits', 'digits', 'long'] as const)
    const value = content === 'long' ? 'long' : 'string'
    const declared = { partitions: 1, key: 'string', value, role: 'input' } as const
    this.#topics[topic] = declared
    if (kind === 'globalTable') {
      this.#topology.push({ op: 'globalTable', topic, as: 'globals' })
      this.#globalTable = content
      return
    }
    if (kind === 'stream' && this.#random.chance(0.15)) {
      const second = `${topic}-too`
      this.#topics[second] = declared
      this.#made({ ...plain, kind, content }, { op: kind, topics: [topic, second] })
      return
    }
    const store = kind === 'table' && this.#random.chance(0.5) ? this.#store(`${topic}-store`) : {}
    this.#made({ ...plain, kind, content, tables: kind === 'table' ? [topic] : [] }, { op: kind, topic, ...store })
  }

  /** Names a store, whose rows are compared at the end. */
  #store(name: string, of: StoreKind = { kind: 'keyValue' }): { readonly store: string } {
    this.#stores[name] = { ...of, entries: [] }
    return { store: name }
  }

  /** Adds an operation and the part that it makes. */
  #made(part: Omit<Part, 'name'>, operation: Operation): Part {
    const name = `p${this.#count++}`
    const made = { ...part, name }
    this.#topology.push({ ...operation, as: name })
    this.#parts.push(made)
    return made
  }

  /** Applies some operator to some part. Returns false if it does not fit. */
  #operate(): boolean {
    const random = this.#random
    // Later parts more often, so that operators follow one another.
    const from = random.chance(0.6) ? this.#parts.at(-1) : random.pick(this.#parts)
    if (from === undefined) return false
    const done = from.kind === 'stream' ? this.#onStream(from) : this.#onTable(from)
    if (done) this.#used.add(from.name)
    return done
  }

  #onStream(from: Part): boolean {
    const random = this.#random
    const of = from.name
    // Half of the operators are aggregates.
    switch (random.below(from.key === 'plain' ? 26 : 6)) {
      case 0: {
        const predicate = somePredicate(this.#random, from.content)
        const op = random.pick(['filter', 'filterNot'])
        const isKeyed = from.isKeyed || (op === 'filter' && predicate.startsWith('key'))
        this.#made({ ...from, isKeyed }, { op, of, predicate })
        return true
      }
      case 1: {
        const { fn, made } = someValueFunction(random, from.content)
        this.#made({ ...from, content: made }, { op: 'mapValues', of, fn })
        return true
      }
      case 2: {
        this.#made({ ...from, ...rekeyed }, { op: 'selectKey', of, fn: this.#keyFunction(from) })
        return true
      }
      case 3: {
        const key = this.#keyFunction(from)
        const { fn, made } = someValueFunction(random, from.content)
        this.#made({ ...from, ...rekeyed, content: made }, { op: 'map', of, key, value: fn })
        return true
      }
      case 4: {
        this.#made(from, { op: 'flatMapValues', of, fn: random.chance(0.1) ? 'none' : 'repeat:2' })
        return true
      }
      case 5:
        if (from.key !== 'plain') return this.#aggregate(from)
        if (from.isRekeyed && from.isRepartitioned) return false
        this.#made(
          { ...from, isRepartitioned: true, isRekeyed: false },
          { op: 'repartition', of, name: `again-${this.#count}` },
        )
        return true
      case 6:
        return this.#split(from)
      case 7:
        return this.#merge(from)
      case 8: {
        const store = random.chance(0.6) ? this.#store(`table-${this.#count}`) : {}
        const tables = [`table-${this.#count}`]
        this.#made({ ...repartitionedIfNeeded(from), kind: 'table', tables }, { op: 'toTable', of, ...store })
        return true
      }
      case 9:
        return this.#streamJoin(from)
      case 10:
        return this.#tableJoin(from)
      case 11:
        return this.#globalJoin(from)
      case 12:
        return this.#process(from)
      default:
        return this.#aggregate(from)
    }
  }

  #split(from: Part): boolean {
    const branches = ['a', 'b'].map((branch) => ({
      predicate: somePredicate(this.#random, from.content),
      as: `p${this.#count}${branch}`,
    }))
    const rest = this.#random.chance(0.5) ? { default: `p${this.#count}rest` } : {}
    this.#count += 1
    this.#topology.push({ op: 'split', of: from.name, branches, ...rest })
    for (const { as } of branches) this.#parts.push({ ...from, name: as })
    if (rest.default !== undefined) this.#parts.push({ ...from, name: rest.default })
    return true
  }

  #merge(from: Part): boolean {
    const other = this.#partner(from, (part) => part.kind === 'stream' && part.content === from.content)
    if (other === null) return false
    this.#made(
      {
        ...from,
        isRekeyed: from.isRekeyed || other.isRekeyed,
        isRepartitioned: from.isRepartitioned || other.isRepartitioned,
        isOrdered: from.isOrdered && other.isOrdered,
      },
      { op: 'merge', of: from.name, with: other.name },
    )
    return true
  }

  /** Another part with plain keys that may be joined or merged with this one. */
  #partner(from: Part, fits: (part: Part) => boolean): Part | null {
    const crosses = (part: Part): boolean => part.isRepartitioned || part.isRekeyed
    const fitting = this.#parts.filter(
      (part) => part !== from && part.key === 'plain' && fits(part) && !(crosses(part) && crosses(from)),
    )
    if (fitting.length === 0) return null
    const found = this.#random.pick(fitting)
    this.#used.add(found.name)
    return found
  }

  #streamJoin(from: Part): boolean {
    const random = this.#random
    const self = random.chance(0.1) && !from.isRekeyed
    const other = self ? from : this.#partner(from, ({ kind }) => kind === 'stream')
    if (other === null) return false
    const type = random.pick(['inner', 'inner', 'left', 'outer'])
    if (type !== 'inner') {
      if (!from.isOrdered || !other.isOrdered) return false
      this.#needsOrder = true
    }
    const { joiner, made: content } = someJoiner(this.#random, from.content, other.content)
    const window = {
      beforeMs: random.pick([1, 2, 5, 10]),
      afterMs: random.pick([1, 3, 6, 12]),
      graceMs: random.pick([0, 1, 4, 20]),
    }
    const name = `join-${this.#count}`
    this.#made(
      {
        ...plain,
        kind: 'stream',
        content,
        isRepartitioned: [from, other].some((part) => part.isRepartitioned || part.isRekeyed),
        isOrdered: false,
      },
      { op: 'streamStreamJoin', type, left: from.name, right: other.name, joiner, window, name },
    )
    return true
  }

  #tableJoin(from: Part): boolean {
    const other = this.#partner(from, ({ kind }) => kind === 'table')
    if (other === null) return false
    const { joiner, made: content } = someJoiner(this.#random, from.content, other.content)
    const type = this.#random.pick(['inner', 'left'])
    const name = `join-${this.#count}`
    this.#made(
      {
        ...from,
        content,
        isRekeyed: false,
        isRepartitioned: [from, other].some((part) => part.isRepartitioned || part.isRekeyed),
      },
      { op: 'streamTableJoin', type, left: from.name, right: other.name, joiner, name },
    )
    return true
  }

  #globalJoin(from: Part): boolean {
    if (this.#globalTable === null) return false
    const { joiner, made: content } = someJoiner(this.#random, from.content, this.#globalTable)
    const type = this.#random.pick(['inner', 'left'])
    this.#made(
      { ...from, content },
      { op: 'streamGlobalTableJoin', type, left: from.name, right: 'globals', key: this.#keyFunction(from), joiner },
    )
    return true
  }

  #process(from: Part): boolean {
    const random = this.#random
    const kind = random.pick(Object.keys(processorContents) as ProcessorKind[])
    const schedule = { clock: random.pick(['streamTime', 'wallClock']), intervalMs: random.pick([4, 10, 25]) }
    const store = `state-${this.#count}`
    const spec = {
      shiftTimestamp: { byMs: random.pick([2, 6]) },
      addHeader: { name: 'added', value: 'x' },
      fanOut: { times: 2 },
      streamTime: {},
      countInStore: { store },
      firstPerKey: { store },
      punctuate: { ...schedule, ...(random.chance(0.5) ? { passThrough: false } : {}) },
      lastValueFlush: { ...schedule, store },
    }[kind]
    const processor: ProcessorSpec = { kind, ...spec }
    if (!this.#mayProcess(from, processor)) return false
    if (processor['store'] !== undefined) {
      const value = kind === 'countInStore' || from.content === 'long' ? 'long' : 'string'
      this.#topology.push({ op: 'stateStore', name: store, value })
      this.#store(store, { kind: 'plain' })
    }
    const made = { ...from, content: processorContents[kind] ?? from.content, isOrdered: false }
    const keepsKey = ['shiftTimestamp', 'addHeader', 'fanOut', 'countInStore'].includes(kind) && random.chance(0.5)
    if (keepsKey) this.#made(made, { op: 'processValues', of: from.name, processor })
    else this.#made({ ...made, ...rekeyed }, { op: 'process', of: from.name, processor })
    return true
  }

  /** Whether the processor fits the records; notes what it does with time. */
  #mayProcess(from: Part, processor: ProcessorSpec): boolean {
    const { kind } = processor
    // Null keys have no place in a store, and a punctuation forwards strings.
    if (processor['store'] !== undefined && (from.isRekeyed || !from.isKeyed)) return false
    if (kind === 'punctuate' && from.content === 'long') return false
    const usesStreamTime = kind === 'streamTime' || processor['clock'] === 'streamTime'
    const shiftsTime = kind === 'shiftTimestamp' || processor['clock'] === 'wallClock'
    if (usesStreamTime && (this.#sources > 1 || this.#shiftsTime)) return false
    if (shiftsTime && this.#usesStreamTime) return false
    if (usesStreamTime) this.#usesStreamTime = true
    if (shiftsTime) this.#shiftsTime = true
    return true
  }

  #aggregate(from: Part): boolean {
    const random = this.#random
    const rekeys = from.key === 'plain' && random.chance(0.4)
    const grouped = `g${this.#count}`
    const name = `grouped-${this.#count}`
    this.#topology.push(
      rekeys
        ? { op: 'groupBy', of: from.name, fn: this.#keyFunction(from), name, as: grouped }
        : { op: 'groupByKey', of: from.name, name, as: grouped },
    )
    const after = repartitionedIfNeeded({ ...from, isRekeyed: from.isRekeyed || rekeys })
    // Windows of windows have no codec for their keys.
    if (from.key !== 'plain' || random.chance(0.3)) {
      this.#fold({ ...after, isTainted: false }, grouped, { kind: 'keyValue' })
      return true
    }
    const windowed = `w${this.#count}`
    const { window, key, windowSizeMs, retentionMs } = someWindows(random)
    const final = random.chance(0.3) ? { emit: 'onWindowClose' } : {}
    this.#topology.push({ op: 'windowedBy', of: grouped, window, ...final, as: windowed })
    const longer = final.emit === undefined ? {} : { retentionMs: 86_400_000 }
    const kind = key === 'session' ? 'session' : 'window'
    const stored = { kind, retentionMs: longer.retentionMs ?? retentionMs } as const
    // Sessions are replaced; a sliding window begins with what an earlier one had.
    const isTainted = window.type === 'session' || window.type === 'sliding'
    this.#fold({ ...after, key, windowSizeMs, isTainted }, windowed, stored, longer)
    return true
  }

  /** Adds count, reduce or aggregate. The first result of a reduce has no initial value for an old one. */
  #fold(from: Omit<Part, 'name'>, of: string, kind: StoreKind, retention: object = {}): void {
    const random = this.#random
    const merges = kind.kind === 'session'
    const store = { ...this.#store(`store-${this.#count}`, kind), ...retention }
    const made = { ...from, kind: 'table', tables: [store.store], isTainted: true, isOrdered: false } as const
    const isText = from.content !== 'long'
    switch (random.below(3)) {
      case 0:
        this.#made({ ...made, content: 'long' }, { op: 'count', of, ...store })
        return
      case 1: {
        const add = random.pick(isText ? ['concat:,', 'last', 'first', 'nullOn:3'] : ['sum', 'max', 'min', 'last'])
        const keeps = add === 'last' || add === 'first' || !isText
        this.#made(
          { ...made, content: keeps ? from.content : 'text', isTainted: from.isTainted },
          { op: 'reduce', of, add, ...store },
        )
        return
      }
      default: {
        const numeric = from.content !== 'text' && random.chance(0.5)
        const add = random.pick(numeric ? ['sum', 'max', 'countUp'] : ['concat:+', 'last', 'nullOn:3'])
        const merge = merges
          ? { merge: numeric ? (add === 'max' ? 'max' : 'sum') : random.pick(['concat:&', 'last']) }
          : {}
        this.#made(
          { ...made, content: numeric ? 'long' : 'text' },
          {
            op: 'aggregate',
            of,
            initial: numeric ? 0 : '',
            add: !numeric && !isText && add === 'last' ? 'concat:+' : add,
            ...merge,
            ...store,
          },
        )
      }
    }
  }

  #onTable(from: Part): boolean {
    const random = this.#random
    const of = from.name
    const keeps = from.key === 'plain' && random.chance(0.4)
    const kept = `kept-${this.#count}`
    const store = keeps ? { store: kept } : {}
    switch (random.below(from.key === 'plain' && !from.isTainted ? 6 : 3)) {
      case 0: {
        const { fn, made } = someValueFunction(random, from.content)
        this.#made({ ...from, content: made }, { op: 'mapValues', of, fn, ...store })
        if (keeps) this.#store(kept)
        return true
      }
      case 1:
        if (random.chance(0.7)) this.#made({ ...from, kind: 'stream', isOrdered: false }, { op: 'toStream', of })
        else {
          const stream = { ...from, ...rekeyed, kind: 'stream', isOrdered: false } as const
          this.#made(stream, { op: 'toStream', of, fn: this.#keyFunction(from) })
        }
        return true
      case 2:
        if (from.isTainted) return false
        this.#made(from, {
          op: random.pick(['filter', 'filterNot']),
          of,
          predicate: somePredicate(this.#random, from.content),
          ...store,
        })
        if (keeps) this.#store(kept)
        return true
      case 3: {
        const joined = this.#tableTableJoin(from, store)
        if (joined && keeps) this.#store(kept)
        return joined
      }
      default:
        return this.#regroup(from)
    }
  }

  #tableTableJoin(from: Part, store: object): boolean {
    const other = this.#partner(from, ({ kind, isTainted }) => kind === 'table' && !isTainted)
    if (other === null) return false
    const { joiner, made: content } = someJoiner(this.#random, from.content, other.content)
    const type = this.#random.pick(['inner', 'left', 'outer'])
    this.#made(
      {
        ...from,
        content,
        isRepartitioned: from.isRepartitioned || other.isRepartitioned,
        isTainted: from.tables.some((table) => other.tables.includes(table)),
        tables: [...from.tables, ...other.tables],
      },
      { op: 'tableTableJoin', type, left: from.name, right: other.name, joiner, ...store },
    )
    return true
  }

  #regroup(from: Part): boolean {
    const random = this.#random
    const grouped = `g${this.#count}`
    this.#topology.push({
      op: 'groupBy',
      of: from.name,
      key: this.#keyFunction(from),
      name: `grouped-${this.#count}`,
      as: grouped,
    })
    const store = this.#store(`store-${this.#count}`)
    const made = {
      ...from,
      tables: [store.store],
      isTainted: true,
      isRepartitioned: true,
      isRekeyed: false,
      isOrdered: false,
    }
    if (random.chance(0.4)) this.#made({ ...made, content: 'long' }, { op: 'count', of: grouped, ...store })
    else if (from.content === 'long' && random.chance(0.5))
      this.#made({ ...made, isTainted: false }, { op: 'reduce', of: grouped, add: 'sum', subtract: 'minus', ...store })
    else if (from.content !== 'text' && random.chance(0.5)) {
      const fold = { initial: 0, add: 'sum', subtract: 'minus' }
      this.#made({ ...made, content: 'long' }, { op: 'aggregate', of: grouped, ...fold, ...store })
    } else {
      const fold = { initial: '', add: 'concat:+', subtract: 'concat:-' }
      this.#made({ ...made, content: 'text' }, { op: 'aggregate', of: grouped, ...fold, ...store })
    }
    return true
  }

  #keyFunction({ key }: Part): string {
    return someKeyFunction(this.#random, key === 'plain' ? 'plain' : 'windowed')
  }

  /** Writes every part that nothing uses to a topic of its own. */
  #end(): void {
    for (const part of this.#parts.filter(({ name }) => !this.#used.has(name))) {
      const topic = `out-${part.name}`
      const key = part.key === 'plain' ? 'string' : part.key === 'time' ? 'timeWindowed' : 'sessionWindowed'
      this.#topics[topic] = {
        partitions: 1,
        key,
        value: part.content === 'long' ? 'long' : 'string',
        role: 'output',
        ...(part.key === 'time' ? { windowSizeMs: part.windowSizeMs } : {}),
      }
      let of = part.name
      if (part.kind === 'table') {
        of = `${part.name}-stream`
        this.#topology.push({ op: 'toStream', of: part.name, as: of })
      }
      this.#topology.push({ op: 'to', of, topic })
    }
  }
}

/** The processors, and what they make of values; null: the same. */
const processorContents = {
  shiftTimestamp: null,
  addHeader: null,
  fanOut: 'text',
  streamTime: 'digits',
  countInStore: 'long',
  firstPerKey: null,
  punctuate: null,
  lastValueFlush: null,
} as const satisfies { readonly [kind: string]: Content | null }

type ProcessorKind = keyof typeof processorContents

const plain = {
  key: 'plain',
  windowSizeMs: 0,
  isTainted: false,
  isRepartitioned: false,
  isOrdered: true,
  tables: [],
  isRekeyed: false,
  isKeyed: false,
} as const

const rekeyed = { key: 'plain', windowSizeMs: 0, isRekeyed: true, isKeyed: false } as const

function repartitionedIfNeeded<P extends Omit<Part, 'name'>>(part: P): P {
  return part.isRekeyed ? { ...part, isRekeyed: false, isRepartitioned: true } : part
}
