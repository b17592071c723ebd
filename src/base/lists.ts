/**
 * Empties a list and keeps its memory, for a list that is filled for each record. `list.length = 0` would give the memory
 * away, so that the next item takes new one. Meant for short lists: it removes the items one by one.
 */
export function empty(list: unknown[]): void {
  while (list.length > 0) list.pop()
}
