import type { ByteWriter } from '../base/bytes.ts'
import { CodecError } from './codec-error.ts'
import type { Codec } from './codec.ts'
import { msgpack } from './msgpack-codec.ts'
import type { Schema } from './schema.ts'
import { validatorOf, versionsOf } from './schema.ts'

/**
 * The codec of values that a store keeps under a schema: a byte with the schema's version (1 is the oldest), then
 * msgpack. A value of an older version is upgraded step by step and checked against the newest schema; a value of a
 * newer version is refused. Values of the newest version are not checked again, because they were checked when written.
 *
 *     version u8 | msgpack
 */
export function storedCodec(schema: Schema): Codec<unknown> {
  const known = versionsOf(schema)
  const newest = known.length
  if (newest > 0xff) throw new CodecError('INVALID_DECLARATION', `a schema has at most 255 versions, not ${newest}`)
  const validate = validatorOf(schema, 'stored value after its upgrade')
  return Object.freeze({
    id: 'stored-msgpack',
    write(value: unknown, to: ByteWriter): void {
      to.u8(newest)
      msgpack.write(value, to)
    },
    read(bytes: Uint8Array, start: number, end: number): unknown {
      const version = start < end ? (bytes[start] as number) : 0
      if (version === newest) return msgpack.read(bytes, start + 1, end)
      if (version === 0 || version > newest) {
        throw new CodecError(
          'UNKNOWN_VERSION',
          `the stored value has version ${version}, the newest known is ${newest}: a newer build wrote it`,
          { version, newest },
        )
      }
      let value = msgpack.read(bytes, start + 1, end)
      for (let index = version - 1; index < newest - 1; index++) value = known[index]?.upgrade?.(value)
      return validate(value)
    },
  })
}
