import { EventEmitter } from 'node:events'
import { beforeEach, expect, test } from 'vitest'
import { onEndingSignal, type SignalledProcess } from '../../src/base/ending-signals.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

let clock: ManualClock
let happened: string[]
let process: EventEmitter & SignalledProcess

beforeEach(() => {
  clock = new ManualClock()
  happened = []
  const emitter: EventEmitter & Partial<SignalledProcess> = new EventEmitter()
  process = Object.assign(emitter, {
    pid: 7,
    kill: (pid: number, signal: string) =>
      happened.push(`${signal} to ${pid} with ${emitter.listenerCount(signal)} listeners`),
  })
})

test.each(['SIGINT', 'SIGTERM'])('the first %s asks to stop', (signal) => {
  onEndingSignal(() => happened.push('stop'), clock, process)
  process.emit(signal, signal)
  expect(happened).toEqual(['stop'])
})

test('signals within a second belong to the first one, because a terminal and npm may both send it', () => {
  onEndingSignal(() => happened.push('stop'), clock, process)
  process.emit('SIGINT', 'SIGINT')
  process.emit('SIGINT', 'SIGINT')
  clock.advance(999)
  process.emit('SIGTERM', 'SIGTERM')
  expect(happened).toEqual(['stop'])
})

test('a signal a second after the first one ends the process, which nobody keeps from it any more', () => {
  onEndingSignal(() => happened.push('stop'), clock, process)
  process.emit('SIGTERM', 'SIGTERM')
  clock.advance(1000)
  process.emit('SIGINT', 'SIGINT')
  expect(happened).toEqual(['stop', 'SIGINT to 7 with 0 listeners'])
})

test('who does not listen any more is not asked', () => {
  const off = onEndingSignal(() => happened.push('stop'), clock, process)
  off()
  process.emit('SIGINT', 'SIGINT')
  expect(happened).toEqual([])
})
