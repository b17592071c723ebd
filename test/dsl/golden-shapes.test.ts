import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { internalTopicName } from '../../src/streams/topology/internal-topics.ts'
import type { Topology } from '../../src/streams/topology/topology.ts'
import type { Operation } from '../harness/golden-scenario.ts'
import { goldenTopology } from '../harness/golden-topology.ts'

/** How the real Kafka Streams cuts a topology, as recorded. Node names and ids are Kafka's and do not count. */
interface Shape {
  readonly name: string
  readonly title: string
  readonly topology: readonly Operation[]
  readonly shape?: {
    readonly subTopologies: readonly {
      readonly sourceTopics: readonly string[]
      readonly sinkTopics: readonly string[]
      readonly repartitionSourceTopics: readonly string[]
      readonly changelogTopics: readonly string[]
      readonly stores: readonly string[]
    }[]
    readonly copartitionGroups: readonly (readonly string[])[]
  }
  readonly buildError?: { readonly type: string; readonly message: string }
}

const folder = fileURLToPath(new URL('../golden/topologies', import.meta.url))
const shapes = readdirSync(folder).map((file): Shape => JSON.parse(readFileSync(`${folder}/${file}`, 'utf8')))

describe('topologies are divided into sub-topologies as in Kafka Streams', () => {
  for (const recorded of shapes) {
    test(recorded.title, () => {
      if (recorded.buildError !== undefined) {
        expect(() => goldenTopology(recorded).topology).toThrow(/CONFIG_INVALID|TOPOLOGY_INVALID/)
        return
      }
      const topology = goldenTopology(recorded).topology

      expect(partsOf(topology)).toEqual(
        recorded.shape?.subTopologies.map((part) => ({
          sourceTopics: part.sourceTopics.toSorted(),
          sinkTopics: part.sinkTopics.toSorted(),
          repartitionSourceTopics: part.repartitionSourceTopics.toSorted(),
          changelogTopics: part.changelogTopics.map(ourName).toSorted(),
          stores: part.stores.map(ourName).toSorted(),
        })),
      )
      // We also group topics that share a store without a join, which Kafka does not check.
      const internal = new Set(topology.internalTopics.map((each) => each.name))
      const fullName = (name: string): string => (internal.has(name) ? internalTopicName('golden', name) : name)
      const groups = topology.subTopologies.flatMap((part) =>
        part.copartitioned.map((group) => group.map(fullName).toSorted().join()),
      )
      for (const group of recorded.shape?.copartitionGroups ?? []) {
        // A stream joined with itself is trivially co-partitioned.
        if (group.length > 1) expect(groups).toContain(group.toSorted().join())
      }
    })
  }
})

/** A store that Kafka names by a number is named after its topic here. */
function ourName(store: string): string {
  return store.replace(/-STATE-STORE-\d+/, '-table')
}

function partsOf(topology: Topology): unknown {
  const full = (name: string, internal: boolean): string => (internal ? internalTopicName('golden', name) : name)
  return topology.subTopologies.map((part) => ({
    sourceTopics: part.sources.flatMap((source) => source.topics.map((name) => full(name, source.internal))).toSorted(),
    sinkTopics: part.sinks.flatMap((sink) => sink.topics.map((name) => full(name, sink.internal))).toSorted(),
    repartitionSourceTopics: part.sources
      .filter((source) => source.internal)
      .flatMap((source) => source.topics.map((name) => full(name, true)))
      .toSorted(),
    changelogTopics: part.stores.map((store) => full(`${store.name}-changelog`, true)).toSorted(),
    stores: part.stores.map((store) => store.name).toSorted(),
  }))
}
