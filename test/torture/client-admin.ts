import { LogError, type LogErrorCode } from '../../src/log/api/errors.ts'
import type { TopicConfig } from '../../src/log/api/topic.ts'
import { Admin } from '../../src/log/client/admin.ts'
import { mortal } from '../harness/mortal-broker.ts'
import type { GroupLedger } from './client-groups.ts'
import type { Incarnation } from './client-ledger.ts'
import type { Program } from './client-producers.ts'
import type { ClientWorld } from './client-world.ts'

/**
 * Administration under the hands of producers and consumers: topics come, go and come again under the same name, get
 * partitions and other settings; records, offsets and groups are deleted; offsets are reset; transactions are aborted.
 * What each call may remove is noted before it is made: all else must stay.
 */
export function adminProgram(topics: readonly string[]): Program {
  return async (world) => {
    const { random } = world
    for (let round = random.between(1, 8); round > 0 && !world.isEnding; round--) {
      world.totals.administered++
      await random.pick(acts)(world, random.pick(topics))
      await world.sleep(random.pick([0, 5, 100, 1500]))
    }
    // Without its topic a group by names could not be joined.
    for (const topic of topics) if (world.isEnding || random.chance(0.5)) await create(world, topic)
  }
}

type Act = (world: ClientWorld, topic: string) => Promise<void>

function settings({ random }: ClientWorld): Partial<TopicConfig> {
  const changes: Partial<TopicConfig>[] = [
    { segmentBytes: random.pick([1024, 4096]) },
    { retentionMs: random.pick([-1, 5000, 20_000]) },
    { retentionBytes: random.pick([-1, 3000, 10_000]) },
    { cleanupPolicy: random.pick(['delete', 'compact', 'compact,delete']), minCleanableDirtyRatio: 0.01 },
    { segmentMs: random.pick([500, 10_000]) },
  ]
  return random.pick(changes)
}

async function create(world: ClientWorld, name: string): Promise<void> {
  const { random, ledger } = world
  const config = random.chance(0.5) ? settings(world) : { segmentBytes: 1024 }
  const spec = { name, partitions: random.between(1, 3), config }
  const { value } = await world.attempt('createTopics', ['TOPIC_EXISTS'], () => world.log.admin.createTopics([spec]))
  // It may have been deleted again before its creation was answered.
  for (const info of value ?? []) ledger.incarnation(info).created = true
}

async function remove(world: ClientWorld, name: string): Promise<void> {
  const going = world.incarnation(name)
  if (going !== undefined) going.deleteAsked = true
  const { error } = await world.attempt('deleteTopic', ['UNKNOWN_TOPIC'], () => world.log.admin.deleteTopic(name))
  if (error === undefined && going !== undefined) going.deletedAt = world.steps
}

async function grow(world: ClientWorld, name: string): Promise<void> {
  const topic = world.incarnation(name)
  const count = Math.min(5, (topic?.partitions ?? 1) + world.random.between(0, 1))
  const { error } = await world.attempt('createPartitions', ['UNKNOWN_TOPIC', 'INVALID_CONFIG'], () =>
    world.log.admin.createPartitions(name, count),
  )
  if (error === undefined && topic !== undefined) topic.partitions = Math.max(topic.partitions, count)
}

async function alter(world: ClientWorld, name: string): Promise<void> {
  const changes = settings(world)
  world.incarnation(name)?.configured(changes)
  await world.attempt('alterTopicConfig', ['UNKNOWN_TOPIC'], () => world.log.admin.alterTopicConfig(name, changes))
}

async function deleteRecords(world: ClientWorld, name: string): Promise<void> {
  const { random } = world
  const topic = world.incarnation(name)
  if (topic === undefined) return
  const place = topic.place(random.below(topic.partitions))
  const [bounds] = world.log.broker.bounds([place.at], 'committed')
  if (bounds === undefined) return
  const offset = random.pick([-1, random.between(bounds.start, bounds.end), bounds.end + random.below(3)])
  place.deletedBelow = Math.max(place.deletedBelow, offset === -1 ? bounds.end : Math.min(offset, bounds.end))
  const allowed: readonly LogErrorCode[] = [
    'UNKNOWN_TOPIC',
    'UNKNOWN_PARTITION',
    'OFFSET_OUT_OF_RANGE',
    'POLICY_VIOLATION',
    'INVALID_TXN_STATE',
  ]
  const { value } = await world.attempt('deleteRecords', allowed, () =>
    world.log.admin.deleteRecords([{ at: place.at, offset }]),
  )
  const low = value?.[0]?.offset
  if (low === undefined) return
  place.deletedBelow = Math.max(place.deletedBelow, low)
  const start = world.startOf(place)
  if (start !== null && start < low) world.fault(`${place.name} starts at ${start}, deleted was below ${low}`)
}

/** Sees the offsets that an admin commits for a group, and what the group may therefore leave out. */
function watching(world: ClientWorld, group: GroupLedger): Admin {
  const { era } = world
  const { broker } = mortal(world.log.broker, ({ offsets }) => {
    const asked = offsets.flatMap(({ at, offset }) => {
      const place = world.place(at)
      if (place === undefined) return []
      const [before] = world.log.broker.committedOffsets(group.spec.name, [at])
      group.excuse(place, before?.offset ?? 0, offset)
      return [group.attempt(place, offset)]
    })
    return (error) => {
      if (era !== world.era) return
      for (const attempt of asked)
        if (error === null) attempt.outcome = 'done'
        else if (error instanceof LogError) attempt.outcome = 'refused'
    }
  })
  return new Admin(broker)
}

async function resetOffsets(world: ClientWorld, name: string): Promise<void> {
  const { random } = world
  if (world.groups.length === 0) return
  const group = random.pick(world.groups)
  const to = random.pick(['earliest', 'latest', 'current', { shift: -3 }, { ago: 5000 }, { offset: 4 }] as const)
  const topics = random.chance(0.7) ? { topics: [name] } : {}
  const admin = watching(world, group)
  const allowed: readonly LogErrorCode[] = [
    'UNKNOWN_TOPIC',
    'UNKNOWN_PARTITION',
    'NON_EMPTY_GROUP',
    'GROUP_ID_NOT_FOUND',
  ]
  await world.attempt('resetGroupOffsets', allowed, () =>
    admin.resetGroupOffsets(group.spec.name, { ...topics, to, execute: random.chance(0.8) }),
  )
}

async function deleteOffsets(
  world: ClientWorld,
  of: { readonly group: GroupLedger; readonly topics: readonly Incarnation[] },
  act: () => Promise<void>,
): Promise<void> {
  const attempts = of.topics.flatMap((topic) =>
    Array.from({ length: topic.partitions }, (_, partition) => of.group.attempt(topic.place(partition), null)),
  )
  const allowed: readonly LogErrorCode[] = [
    'GROUP_ID_NOT_FOUND',
    'NON_EMPTY_GROUP',
    'GROUP_SUBSCRIBED_TO_TOPIC',
    'UNKNOWN_TOPIC',
    'UNKNOWN_PARTITION',
  ]
  const { error } = await world.attempt('deletion of offsets', allowed, act)
  for (const attempt of attempts)
    attempt.outcome = error === undefined ? 'done' : error === 'CLOSED' ? 'open' : 'refused'
}

async function deleteGroup(world: ClientWorld): Promise<void> {
  if (world.groups.length === 0) return
  const group = world.random.pick(world.groups)
  await deleteOffsets(world, { group, topics: world.topics }, async () => {
    const deleting = world.log.admin.deleteGroup(group.spec.name)
    await deleting
    group.beginEra()
  })
}

async function deleteGroupOffsets(world: ClientWorld, name: string): Promise<void> {
  const topic = world.incarnation(name)
  if (world.groups.length === 0 || topic === undefined) return
  const group = world.random.pick(world.groups)
  const at = Array.from({ length: topic.partitions }, (_, partition) => topic.place(partition).at)
  await deleteOffsets(world, { group, topics: [topic] }, () => world.log.admin.deleteGroupOffsets(group.spec.name, at))
}

const acts: readonly Act[] = [
  create,
  create,
  remove,
  async (world, name) => {
    await remove(world, name)
    await create(world, name)
  },
  async (world, name) => {
    const removing = remove(world, name)
    await create(world, name)
    await removing
  },
  grow,
  alter,
  alter,
  deleteRecords,
  deleteRecords,
  resetOffsets,
  deleteGroup,
  deleteGroupOffsets,
  async (world) => {
    await world.attempt('abortTransaction', ['TRANSACTIONAL_ID_NOT_FOUND', 'INVALID_TXN_STATE'], () =>
      world.log.admin.abortTransaction(world.random.pick(['tx-a', 'tx-b'])),
    )
  },
  async (world, name) => {
    const { admin } = world.log
    const at = [{ topic: name, partition: 0 }]
    const allowed: readonly LogErrorCode[] = ['UNKNOWN_TOPIC', 'GROUP_ID_NOT_FOUND']
    await world.attempt('describeTopic', allowed, () => admin.describeTopic(name))
    await world.attempt('offsets', allowed, () =>
      admin.offsets(at, world.random.pick(['earliest', 'latest', { timestamp: world.clock.now() - 5000 }])),
    )
    await world.attempt('describeProducers', allowed, () => admin.describeProducers({ topic: name, partition: 0 }))
    await world.attempt('describeLogDirs', [], () => admin.describeLogDirs())
    for (const { group } of admin.listGroups())
      await world.attempt('describeGroup', allowed, () => admin.describeGroup(group))
  },
]
