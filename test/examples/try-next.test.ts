import { describe, expect, test } from 'vitest'
import { tryNext } from '../../examples/web-activity/answers/try-next.ts'
import { readOptions } from '../../examples/web-activity/options.ts'

function suggested(...args: readonly string[]): readonly string[] {
  const options = readOptions(args)
  return options ? tryNext(options).split('\n') : []
}

describe('what to try next', () => {
  test('begins with the same run again, and its answers for other programs', () => {
    expect(suggested().slice(3, 5)).toEqual([
      '  npm start                                 run it again: it continues, and counts nothing twice',
      '  npm start -- --json | grep top-pages      the same answers for other programs',
    ])
  })

  test('repeats the options that name the traffic and its directory', () => {
    const [again, json] = suggested('--seed', '7', '--events', '9', '--data-dir', 'd').slice(3)
    expect(again).toMatch(/^ {2}npm start -- --data-dir d --seed 7 --events 9 {2,}run it again/)
    expect(json).toMatch(
      /^ {2}npm start -- --data-dir d --seed 7 --events 9 --json \| grep top-pages {2,}the same answers/,
    )
    expect(suggested('--input', 'access.log')[3]).toMatch(
      /^ {2}npm start -- --input access\.log --json \| grep top-pages {2,}the same answers/,
    )
  })

  test('does not promise the same answers where the lines cannot be read again', () => {
    expect(suggested('--input', '-').join('\n')).not.toContain('the same answers')
    expect(suggested('--live').join('\n')).not.toContain('the same answers')
  })

  test('quotes names for the shell, so that rm removes the directory and nothing else', () => {
    const lines = suggested('--data-dir', "my data/it's")
    expect(lines.at(-1)).toMatch(/^ {2}rm -r 'my data\/it'\\''s' {2,}start over$/)
    expect(lines[3]).toContain(String.raw`--data-dir 'my data/it'\''s'`)
    expect(suggested('--data-dir=-x').at(-1)).toMatch(/^ {2}rm -r \.\/-x {2,}start over$/)
  })

  test('is aligned', () => {
    for (const args of [[], ['--input', 'a log.gz'], ['--live'], ['--data-dir', 'd'.repeat(80)]]) {
      const columns = suggested(...args)
        .slice(3)
        .map((line) => line.lastIndexOf('   ') + 3)
      expect(new Set(columns).size).toBe(1)
    }
  })
})
