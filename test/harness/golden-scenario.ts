/**
 * The format of the recorded scenarios: a small topology as data, what was piped in one record at a time, and everything
 * that the real Kafka Streams put out after each.
 */
export interface Scenario {
  readonly name: string
  readonly title: string
  readonly area: string
  readonly kind?: 'shape' | 'pickOrder'
  readonly kafkaQuirk?: string
  readonly storeDependent?: string
  readonly config?: { readonly [name: string]: unknown }
  readonly wallClockStart?: number
  readonly topics: { readonly [name: string]: ScenarioTopic }
  readonly topology: readonly Operation[]
  readonly steps: readonly Step[]
  readonly stores?: { readonly [name: string]: ScenarioStore }
  readonly droppedRecords?: number
}

export interface ScenarioTopic {
  readonly partitions: number
  readonly key: 'string' | 'timeWindowed' | 'sessionWindowed'
  readonly value: 'string' | 'long'
  readonly role: 'input' | 'output' | 'internal'
  readonly windowSizeMs?: number
}

export type Operation = { readonly op: string; readonly as?: string; readonly of?: string } & {
  readonly [field: string]: unknown
}

export type Step =
  | { readonly pipe: PipedRecord }
  | { readonly advanceWallClock: number }
  | { readonly get: { readonly store: string; readonly key: string; readonly asOf?: number } }
  | { readonly expect: readonly ExpectedRecord[]; readonly dropped?: number }
  | { readonly expectError: { readonly type: string; readonly rootCause?: string } }
  | { readonly found: { readonly value: unknown; readonly timestamp: number } | null }

export interface PipedRecord {
  readonly topic: string
  readonly key: string | null
  readonly value?: unknown
  readonly valueText?: string
  readonly timestamp: number
  readonly headers?: readonly (readonly [string, string | null])[]
}

export interface ExpectedRecord {
  readonly topic: string
  readonly key: string | null
  readonly window?: { readonly start: number; readonly end: number | null }
  readonly value: unknown
  readonly timestamp: number
  readonly headers?: readonly (readonly [string, string | null])[]
}

export interface ScenarioStore {
  readonly kind: 'keyValue' | 'window' | 'session' | 'versioned' | 'plain'
  readonly entries: readonly {
    readonly key: string
    readonly window?: { readonly start: number; readonly end: number | null }
    readonly value: unknown
    readonly timestamp?: number
  }[]
}
