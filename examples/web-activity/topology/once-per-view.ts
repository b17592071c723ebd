/** Forwards each product view once, however many orders of the same visitor followed it. */
import type { StoreRef, StreamRecord, ValueContext, ValueProcessor, WindowStore } from 'millrace'
import { hour } from '../events.ts'

export interface ProductView {
  readonly id: string
  readonly at: number
  readonly path: string
}

/** The views that were forwarded, by their ids. */
export type BoughtStore = WindowStore<string, true>

export class OncePerView implements ValueProcessor<string, ProductView, ProductView> {
  readonly #bought: StoreRef<BoughtStore>
  #context!: ValueContext<ProductView>
  #store!: BoughtStore

  constructor(bought: StoreRef<BoughtStore>) {
    this.#bought = bought
  }

  init(context: ValueContext<ProductView>): void {
    this.#context = context
    this.#store = context.store(this.#bought)
  }

  process({ value: view }: StreamRecord<string, ProductView>): void {
    const start = view.at - (view.at % hour.sizeMs)
    if (this.#store.fetch(view.id, start) !== null) return
    this.#store.put(view.id, true, start)
    this.#context.forward(view)
  }
}
