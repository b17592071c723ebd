/**
 * The newest record of each group, as far as it is promoted. Checkpoints contain these records, so that opening only
 * reads those after the checkpoint. Only `group/` interprets the bytes.
 */
export class GroupRecords {
  readonly #records = new Map<string, Uint8Array>()

  set(group: string, record: Uint8Array): void {
    this.#records.set(group, record)
  }

  delete(group: string): void {
    this.#records.delete(group)
  }

  states(): readonly { readonly group: string; readonly record: Uint8Array }[] {
    return [...this.#records].map(([group, record]) => ({ group, record }))
  }
}
