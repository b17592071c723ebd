import { describe, expect, test } from 'vitest'
import { JobError } from '../../examples/shared/job-error.ts'
import { help, readOptions } from '../../examples/web-activity/options.ts'

describe('the command line of the web-activity job', () => {
  test('needs no option', () => {
    expect(readOptions([])).toMatchObject({
      input: undefined,
      live: false,
      dataDir: 'data/web-activity',
      seed: 1,
      events: 300_000,
      json: false,
      emit: 'commit',
    })
  })

  test('accepts every option', () => {
    const args = '--live --data-dir d --seed 7 --events 9 --json --emit update'.split(' ')
    expect(readOptions(args)).toMatchObject({
      live: true,
      dataDir: 'd',
      seed: 7,
      events: 9,
      json: true,
      emit: 'update',
    })
    expect(readOptions('--live --page --port 0'.split(' '))).toMatchObject({ page: { port: 0 } })
    expect(readOptions(['--live', '--page'])).toMatchObject({ page: { port: 4747 } })
    expect(readOptions(['--input', '-'])).toMatchObject({ input: '-', dataDir: 'data/web-activity-log' })
    expect(
      readOptions('--segment-bytes 65536 --journal-file-bytes 262144 --checkpoint-every 50'.split(' ')),
    ).toMatchObject({ segmentBytes: 65536, journalFileBytes: 262144, checkpointEvery: 50 })
  })

  test('prints a help text that names every option', () => {
    expect(readOptions(['--help'])).toBeNull()
    for (const option of Object.keys(readOptions([]) ?? {}))
      expect(help).toContain(`--${option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`)
  })

  test.each([
    ['an option that does not exist', '--frobnicate', '--frobnicate'],
    ['a word that belongs to no option', 'now', 'now'],
    ['an option without its value', '--seed', '--seed'],
    ['a value that is not a number', '--events many', '--events many'],
    ['no events', '--events 0', '--events 0'],
    ['a negative seed', '--seed=-1', '--seed -1'],
    ['a negative number that looks like an option', '--events -5', '--events=VALUE'],
    ['a name that looks like an option', '--data-dir -x', '--data-dir=VALUE'],
    ['a fraction', '--events 1.5', '--events 1.5'],
    ['too many events', '--events 10000001', '10000000'],
    ['a value for a switch', '--json=yes', '--json'],
    ['an input together with --live', '--input a --live', '--live'],
    ['an input with a seed', '--input a --seed 1', '--seed'],
    ['a page without --live', '--page', '--live'],
    ['a port without a page', '--live --port 80', '--page'],
    ['a port that does not exist', '--live --page --port 65536', '--port 65536'],
    ['an input without a name', '--input=', '--input'],
    ['a directory without a name', '--data-dir=', '--data-dir'],
    ['an emit that does not exist', '--emit never', '--emit never'],
  ])('refuses %s in one line that names it', (_, args, named) => {
    const refuse = () => readOptions(args.split(' '))
    expect(refuse).toThrow(JobError)
    expect(refuse).toThrow(named)
    expect(refuse).toThrow(/^[^\n]+$/)
  })
})
