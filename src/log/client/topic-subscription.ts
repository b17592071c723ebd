import { shown } from '../../base/shown.ts'
import { LogError } from '../api/errors.ts'
import { isInternalTopic } from '../api/internal-topics.ts'
import type { Broker } from '../broker/broker.ts'

/**
 * What a consumer wants to read: topics by name, or all whose name a pattern matches, also those that come later. The
 * log's own topics match no pattern.
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
    // Without the flags that make `test` remember where it stopped.
    this.#pattern = to instanceof RegExp ? new RegExp(to.source, to.flags.replaceAll(/[gy]/g, '')) : null
    for (const topic of this.#names ?? []) this.#checkExists(topic)
  }

  #checkExists(topic: string): void {
    if (this.#broker.topic(topic) !== undefined) return
    throw new LogError(
      'UNKNOWN_TOPIC',
      `topic ${shown(topic)} does not exist: create it first, or subscribe by a pattern`,
      {
        topic,
      },
    )
  }

  /** The topics that exist now and are meant, by name. The same array while nothing has changed. */
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
