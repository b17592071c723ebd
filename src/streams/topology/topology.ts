import type { AnyTopic } from '../../codec/topic.ts'
import type { TopicSpec } from '../../log/api/topic.ts'
import type {
  GlobalTableSpec,
  InternalTopic,
  ProcessorNode,
  SinkNode,
  SourceNode,
  StoreSpec,
  TopologyNode,
} from './node.ts'

/**
 * A stream application as frozen data: nodes, stores and topics, cut into sub-topologies. Internal topics have their
 * short names here; {@link import('./internal-topics.ts')} adds the application's name in front.
 */
export interface Topology {
  readonly nodes: readonly TopologyNode[]
  readonly stores: readonly StoreSpec[]
  /**
   * The topics as the user declared them, with their schemas. The worker does not need them; the test driver uses them
   * for checks.
   */
  readonly topics: readonly AnyTopic[]
  /** Topics that the user declared with a number of partitions. They are created if they do not exist. */
  readonly declaredTopics: readonly TopicSpec[]
  /**
   * Topics without a declared number of partitions. Those that are read must exist; those that are only written are
   * created if necessary, with as many partitions as the sub-topology that writes them has.
   */
  readonly undeclaredTopics: readonly UndeclaredTopic[]
  readonly internalTopics: readonly InternalTopic[]
  readonly globalTables: readonly GlobalTableSpec[]
  readonly subTopologies: readonly SubTopology[]
}

export type UndeclaredTopic = Omit<TopicSpec, 'partitions'>

/** A connected part of the graph, which runs as one task per partition of its sources. */
export interface SubTopology {
  readonly id: number
  /**
   * All nodes of the part by name, in the order in which they were added, which is also the order of each node's
   * children.
   */
  readonly order: readonly string[]
  readonly sources: readonly SourceNode[]
  readonly processors: readonly ProcessorNode[]
  readonly sinks: readonly SinkNode[]
  readonly stores: readonly StoreSpec[]
  /** Groups of topics that must have the same number of partitions, because their records reach the same store. */
  readonly copartitioned: readonly (readonly string[])[]
}
