import type { Codec } from './codec.ts'

/**
 * That a record has a value, and nothing of the value itself: no bytes. For topics whose readers only distinguish values
 * from null, as an aggregation that counts does.
 */
export const presence: Codec<unknown> = Object.freeze({
  id: 'presence',
  write(): void {},
  read: () => true,
})
