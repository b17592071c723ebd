/**
 * Marks each view of a page that is its visitor's first in that hour. Counting the marks gives the exact number of
 * different visitors, without keeping a set of names.
 */
import type { StoreRef, StreamRecord, ValueContext, ValueProcessor, WindowStore } from 'millrace'
import { hour, type Segment } from '../events.ts'

export interface View {
  readonly path: string
  readonly segment: Segment
}

export interface Visit extends View {
  readonly isFirst: boolean
}

/** Which visitor has seen which page in which hour. */
export type VisitedStore = WindowStore<readonly [string, string], true>

export class FirstVisits implements ValueProcessor<string, View, Visit> {
  readonly #visited: StoreRef<VisitedStore>
  #context!: ValueContext<Visit>
  #store!: VisitedStore

  constructor(visited: StoreRef<VisitedStore>) {
    this.#visited = visited
  }

  init(context: ValueContext<Visit>): void {
    this.#context = context
    this.#store = context.store(this.#visited)
  }

  process({ key: visitor, value: { path, segment }, timestamp }: StreamRecord<string, View>): void {
    const start = timestamp - (timestamp % hour.sizeMs)
    const key = [visitor, path] as const
    const isFirst = this.#store.fetch(key, start) === null
    if (isFirst) this.#store.put(key, true, start)
    this.#context.forward({ path, segment, isFirst })
  }
}
