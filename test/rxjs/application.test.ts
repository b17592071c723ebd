import { map, type Observable } from 'rxjs'
import { TestScheduler } from 'rxjs/testing'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { Streams, StreamsBuilder, StreamsError, type StreamsPhase, topic } from 'millrace'
import { type MeasuredStreams, metricsOf, phasesOf } from 'millrace/rxjs'
import { MemoryDisk } from 'millrace/testing'
import { Lifecycle } from '../../src/base/lifecycle.ts'
import { streamsTransitions } from '../../src/streams/streams-lifecycle.ts'
import { DiskStoreEngine } from '../harness/disk-store.ts'
import { ScheduledClock } from './scheduled-clock.ts'

/** An application that has only a life cycle; each sample of its metrics counts one more record. */
class Life implements MeasuredStreams {
  readonly #lifecycle = new Lifecycle<StreamsPhase>('streams', streamsTransitions, 'created')
  readonly #finished = Promise.withResolvers<void>()
  listeners = 0
  #samples = 0

  get phase(): StreamsPhase {
    return this.#lifecycle.phase
  }

  onPhase(listener: (phase: StreamsPhase, before: StreamsPhase) => void): () => void {
    this.listeners += 1
    const forget = this.#lifecycle.onChange(listener)
    return () => {
      this.listeners -= 1
      forget()
    }
  }

  finished(): Promise<void> {
    return this.#finished.promise
  }

  metrics(): ReturnType<MeasuredStreams['metrics']> {
    this.#samples += 1
    const none = { recordsPerSecond: 0, lag: 0, streamTime: -1, commits: 0, dropped: 0, droppedByReason: {} }
    return { processed: this.#samples, ...none }
  }

  /** Lives through phases by their first letters: `s`tarting, `r`unning, c`l`osing, `c`losed, `f`ailed. */
  live(phases: Observable<string>): void {
    phases.subscribe((letter) => this.#lifecycle.to(phaseOf[letter] ?? 'created'))
  }
}

const phaseOf: { readonly [letter: string]: StreamsPhase } = {
  s: 'starting',
  r: 'running',
  l: 'closing',
  c: 'closed',
  f: 'failed',
  n: 'created',
}

const marbles = (run: Parameters<TestScheduler['run']>[0], scheduler: TestScheduler): unknown => scheduler.run(run)
const scheduled = (): TestScheduler => new TestScheduler((actual, wanted) => expect(actual).toEqual(wanted))

describe('the phases of an application', () => {
  test('begin with the current one, follow each change, and complete after closed', () => {
    marbles(({ hot, expectObservable }) => {
      const app = new Life()
      app.live(hot('--s--r---lc-'))
      expectObservable(phasesOf(app)).toBe('n-s--r---l(c|)', phaseOf)
      expectObservable(phasesOf(app), '------^-----').toBe('------r--l(c|)', phaseOf)
    }, scheduled())
  })

  test('stop when unsubscribed, which leaves no listener behind', () => {
    const app = new Life()
    marbles(({ hot, expectObservable }) => {
      app.live(hot('--s--r---lc-'))
      expectObservable(phasesOf(app), '^---!').toBe('n-s--', phaseOf)
    }, scheduled())
    expect(app.listeners).toBe(0)
  })

  test('are only closed if it has already closed', () => {
    marbles(({ cold, expectObservable }) => {
      const app = new Life()
      app.live(cold('(c)'))
      expectObservable(phasesOf(app), '---^').toBe('---(c|)', phaseOf)
    }, scheduled())
  })
})

describe('the metrics of an application', () => {
  const counts = (app: Life, everyMs: number, scheduler: TestScheduler): Observable<string> =>
    metricsOf(app, { everyMs, clock: new ScheduledClock(scheduler) }).pipe(map(({ processed }) => String(processed)))

  test('are sampled by the clock while it runs, and once more when it has closed', () => {
    const scheduler = scheduled()
    marbles(({ hot, expectObservable }) => {
      const app = new Life()
      app.live(hot('  -s-r--------lc-'))
      expectObservable(counts(app, 4, scheduler)).toBe('---1---2---3-(4|)')
    }, scheduler)
  })

  test('are emitted to each subscription at its own times, and never after it is unsubscribed', () => {
    const scheduler = scheduled()
    marbles(({ hot, expectObservable }) => {
      const app = new Life()
      app.live(hot('  (sr)-----------'))
      expectObservable(counts(app, 3, scheduler), '--^------!').toBe('--1--2--3-')
    }, scheduler)
  })

  test('are not emitted if it never ran', () => {
    const scheduler = scheduled()
    marbles(({ hot, expectObservable }) => {
      const app = new Life()
      app.live(hot('-----c'))
      expectObservable(counts(app, 2, scheduler)).toBe('-----|')
    }, scheduler)
  })

  test.each([0, 1.5, NaN, 2 ** 31])('with everyMs %d are refused at the call', (everyMs) => {
    expect(() => metricsOf(new Life(), { everyMs })).toThrow(StreamsError)
  })
})

describe('an application that opens its own log', () => {
  const input = topic('input', { key: z.string(), value: z.string(), partitions: 1 })

  function application(logOptions: { readonly segmentBytes?: number } = {}): Streams {
    const builder = new StreamsBuilder()
    builder.stream(input).foreach(() => undefined)
    const disk = new MemoryDisk()
    return new Streams(builder.build(), {
      applicationId: 'app',
      dataDir: '/data',
      logOptions: { disk, ...logOptions },
      storeEngine: new DiskStoreEngine(disk),
    })
  }

  test('emits all its phases, including the opening of the log', async () => {
    const app = application()
    const phases: string[] = []
    const ended = new Promise<void>((resolve) => {
      phasesOf(app).subscribe({ next: (phase) => phases.push(phase), complete: resolve })
    })
    await app.start()
    const samples: number[] = []
    metricsOf(app, { everyMs: 100_000 }).subscribe(({ processed }) => samples.push(processed))
    await app.close()
    await ended

    expect(phases).toEqual(['created', 'starting', 'running', 'closing', 'closed'])
    expect(samples).toEqual([0, 0])
  })

  test('is closed if it is closed before it started, and cannot be started any more', async () => {
    const app = application()
    await app.close()
    expect(app.phase).toBe('closed')
    await expect(app.start()).rejects.toMatchObject({ code: 'INVALID_PHASE' })
  })

  test('fails with the error of its log if that does not open', async () => {
    const app = application({ segmentBytes: 1 })
    const errors: unknown[] = []
    phasesOf(app).subscribe({ error: (error: unknown) => errors.push(error) })
    await expect(app.start()).rejects.toMatchObject({ code: 'INVALID_CONFIG' })
    await Promise.resolve()

    expect(app.phase).toBe('failed')
    expect(errors).toMatchObject([{ code: 'INVALID_CONFIG' }])
  })

  test('ignores a listener that throws', async () => {
    const app = application()
    app.onPhase(() => {
      throw new Error('a listener')
    })
    await app.start()
    await app.close()
    expect(app.phase).toBe('closed')
  })
})
