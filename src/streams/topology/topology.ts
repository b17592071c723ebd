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
 * A stream application as frozen data: nodes, stores, topics, cut into sub-topologies. Internal topics stand under their
 * short names here; {@link import('./internal-topics.ts')} puts the application's name in front.
 */
export interface Topology {
  readonly nodes: readonly TopologyNode[]
  readonly stores: readonly StoreSpec[]
  /** The topics as the user declared them, with their schemas; the worker needs none of it, the test driver checks by it. */
  readonly topics: readonly AnyTopic[]
  /** Topics that the user declared with a number of partitions; made if absent. */
  readonly declaredTopics: readonly TopicSpec[]
  /**
   * Topics without a declared number of partitions. What is read must exist; what is only written is made if absent,
   * with as many partitions as the sub-topology that writes it has.
   */
  readonly undeclaredTopics: readonly UndeclaredTopic[]
  readonly internalTopics: readonly InternalTopic[]
  readonly globalTables: readonly GlobalTableSpec[]
  readonly subTopologies: readonly SubTopology[]
}

export type UndeclaredTopic = Omit<TopicSpec, 'partitions'>

/** A connected part: runs as one task per partition of its sources. */
export interface SubTopology {
  readonly id: number
  /** All nodes of it by name, in the order in which they were added: that of a node's children. */
  readonly order: readonly string[]
  readonly sources: readonly SourceNode[]
  readonly processors: readonly ProcessorNode[]
  readonly sinks: readonly SinkNode[]
  readonly stores: readonly StoreSpec[]
  /** Topics that must have equal partition counts: all sources of a part that holds a keyed operation over several. */
  readonly copartitioned: readonly (readonly string[])[]
}
