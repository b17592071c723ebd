export { topic } from './topic.ts'
export type { TopicPartitioner } from './partitioner.ts'
export type {
  AnyTopic,
  TimestampExtractor,
  Topic,
  TopicOptions,
  TopicSettings,
  ValueDeclaration,
  ValueFormat,
} from './topic.ts'
export { versions } from './schema.ts'
export type { Declared, InputOf, OneWaySchema, OutputOf, Schema, VersionedSchema, Writable } from './schema.ts'
export { windowed } from './windowed-codec.ts'
export type { Windowed, WindowedKeyCodec, WindowKind, Windows } from './windowed-codec.ts'
export { bytesKey, longKey, stringKey, taggedKey } from './key-codecs.ts'
export { bytes, json, long, msgpack, number, string } from './value-codecs.ts'
export { CodecError } from './codec-error.ts'
export type { CodecErrorCode } from './codec-error.ts'
export type { Codec, Identity, KeyCodec } from './codec.ts'
export type { KeyDeclaration } from './key-choice.ts'
