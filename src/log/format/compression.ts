import * as zlib from 'node:zlib'
import { unreachable } from '../../base/assert.ts'
import { LogError } from '../api/errors.ts'
import { lz4Compress, lz4Decompress } from './lz4.ts'
import { corrupt } from './record-batch.ts'
import { snappyCompress, snappyDecompress } from './snappy.ts'

/** Kafka: `compression.type` of the producer. */
export type Compression = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'

/** The codec's number in a batch's attributes. */
export const compressionCodes: { readonly [Name in Compression]: number } = {
  none: 0,
  gzip: 1,
  snappy: 2,
  lz4: 3,
  zstd: 4,
}

/** Default maximum size of a decompressed batch: about a hundred times a batch of 1 MiB. More is refused as a bomb. */
export const inflatedBytesMax: number = 128 * 1024 * 1024

export function compress(compression: Compression, bytes: Uint8Array): Uint8Array {
  switch (compression) {
    case 'none':
      return bytes
    case 'gzip':
      return zlib.gzipSync(bytes)
    case 'snappy':
      return snappyCompress(bytes)
    case 'lz4':
      return lz4Compress(bytes)
    case 'zstd':
      return zlib.zstdCompressSync(bytes)
    default:
      return unreachable(compression)
  }
}

/**
 * Decompresses the records of a batch with that codec number. Throws UNSUPPORTED_COMPRESSION for a number that Kafka
 * has not assigned, CORRUPT_BATCH for bytes that cannot be decompressed or exceed `bytesMax`.
 */
export function decompress(code: number, bytes: Uint8Array, bytesMax: number = inflatedBytesMax): Uint8Array {
  try {
    if (code === 0) return bytes
    if (code === 1) return zlib.gunzipSync(bytes, { maxOutputLength: bytesMax })
    if (code === 2) return snappyDecompress(bytes, bytesMax)
    if (code === 3) return lz4Decompress(bytes, bytesMax)
    if (code === 4) return zlib.zstdDecompressSync(bytes, { maxOutputLength: bytesMax })
  } catch (cause) {
    if (cause instanceof LogError) throw cause
    throw corrupt(`${bytes.length} bytes of codec ${code} cannot be decompressed to at most ${bytesMax}`, 0, { cause })
  }
  throw new LogError('UNSUPPORTED_COMPRESSION', `codec ${code}: gzip, snappy, lz4 and zstd can be read`, { code })
}
