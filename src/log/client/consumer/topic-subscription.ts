import { unknownTopic } from '../../api/errors.ts'
import { isInternalTopic } from '../../api/internal-topics.ts'
import type { Broker } from '../../broker/broker.ts'

/**
 * The topics that a consumer subscribes to: by name, or all whose names match a pattern, including topics that are
 * created later. The log's internal topics match no pattern.
 */
export class TopicSubscription {
  readonly #broker: Broker
  readonly #names: readonly string[] | null
  readonly #pattern: RegExp | null
  #revision = -1
  #topics: readonly string[] = []

  constructor(broker: Broker, to: readonly string[] | RegExp) {
    this.#broker = broker
    this.#names = to instanceof RegExp ? null : [...new Set(to)].sort()
    // Without the flags that make `test` depend on where the previous match ended.
    this.#pattern = to instanceof RegExp ? new RegExp(to.source, to.flags.replaceAll(/[gy]/g, '')) : null
    for (const topic of this.#names ?? []) this.#checkExists(topic)
  }

  #checkExists(topic: string): void {
    if (this.#broker.topic(topic) !== undefined) return
    throw unknownTopic(topic, 'subscribe by a pattern')
  }

  /** The subscribed topics that exist now, by name. Returns the same array while nothing has changed. */
  get topics(): readonly string[] {
    const { catalogRevision } = this.#broker
    if (catalogRevision === this.#revision) return this.#topics
    this.#revision = catalogRevision
    const topics = this.#names?.filter((name) => this.#broker.topic(name) !== undefined) ?? this.#matching()
    if (topics.join('\n') !== this.#topics.join('\n')) this.#topics = topics
    return this.#topics
  }

  #matching(): readonly string[] {
    const names = this.#broker.listTopics().map(({ name }) => name)
    return names.filter((name) => !isInternalTopic(name) && this.#pattern?.test(name) === true)
  }
}
