import { describe, expect, test } from 'vitest'
import { parseAccessLine, parseLogTime } from '../../examples/web-activity/lines/access-log.ts'
import { readAccessLine, readShopLine } from '../../examples/web-activity/topology/clean.ts'

const line =
  '83.149.9.216 - frank [17/May/2015:10:05:03 +0000] "GET /a/b.png?x=1 HTTP/1.1" 200 203023 "http://x/" "Mozilla/5.0 (X11)"'

describe('a line of an access log', () => {
  test('is parsed into client, time, path without its query, status and agent', () => {
    expect(parseAccessLine(line)).toEqual({
      client: '83.149.9.216',
      at: Date.UTC(2015, 4, 17, 10, 5, 3),
      path: '/a/b.png',
      status: 200,
      agent: 'Mozilla/5.0 (X11)',
    })
  })

  test('may have no size, no referrer, no request, an IPv6 address and escaped quotes', () => {
    const odd = '::1 - - [01/Jan/2020:00:00:00 -0130] "-" 408 - "-" "say \\"hi\\" \\\\"'
    expect(parseAccessLine(odd)).toEqual({
      client: '::1',
      at: Date.UTC(2020, 0, 1, 1, 30),
      path: '-',
      status: 408,
      agent: 'say \\"hi\\" \\\\',
    })
  })

  test.each([
    ['an empty line', ''],
    ['a user agent cut off', line.slice(0, -1)],
    ['text after the user agent', `${line} "more"`],
    ['no status', line.replace(' 200 ', ' - ')],
    ['a status of two digits', line.replace(' 200 ', ' 20 ')],
    ['a month that does not exist', line.replace('May', 'Mai')],
    ['a day that does not exist', line.replace('17/May', '31/Feb')],
    ['an hour that does not exist', line.replace(':10:', ':24:')],
    ['no user agent, as in the Common Log Format', line.split(' "http')[0] ?? ''],
    ['a time before 1970', line.replace('2015', '1969')],
    ['a year of two digits', line.replace('2015', '0085')],
  ])('is malformed with %s', (_, malformed) => {
    expect(parseAccessLine(malformed)).toBeNull()
  })

  test('is parsed in time that does not grow exponentially with its length', () => {
    const hostile = `1 - - [17/May/2015:10:05:03 +0000] "${'\\"'.repeat(20_000)}`
    expect(parseAccessLine(hostile)).toBeNull()
  })

  test('has a time with a zone offset of its own', () => {
    expect(parseLogTime('17/May/2015:10:05:03 +0200')).toBe(Date.UTC(2015, 4, 17, 8, 5, 3))
  })

  test('becomes a view, or an error from status 400 on, with its line number as the id', () => {
    expect(readAccessLine(line, '7').event).toMatchObject({ id: '7', type: 'view', region: 'unknown', status: 200 })
    expect(readAccessLine(line.replace(' 200 ', ' 404 '), '8').event).toMatchObject({ id: '8', type: 'error' })
    expect(readAccessLine('nonsense', '9')).toEqual({ reason: 'not in Combined Log Format' })
  })
})

test('paths that are too long for a key are shortened and stay distinct', () => {
  const long = `/${'x'.repeat(60_000)}`
  const pathOf = (path: string) => readAccessLine(line.replace('/a/b.png?x=1', path), '1').event?.path ?? ''
  expect(Buffer.byteLength(pathOf(`/${'€'.repeat(5000)}`))).toBeLessThan(1900)
  expect(pathOf(`${long}1`)).not.toBe(pathOf(`${long}2`))
  expect(pathOf(`${long}1`)).toBe(pathOf(`${long}1`))
  expect(pathOf(`/${'x'.repeat(478)}${'😀'.repeat(50)}`).isWellFormed()).toBe(true)
  expect(pathOf('/short')).toBe('/short')
})

describe("a line of the shop's events", () => {
  const event = { id: 'e1', at: 5, type: 'view', visitor: 'v1', path: '/', region: 'asia', agent: 'x' }

  test('is an event if every field fits', () => {
    expect(readShopLine(JSON.stringify(event)).event).toEqual(event)
  })

  test.each([
    ['half a line', JSON.stringify(event).slice(0, 20)],
    ['no content', ''],
    ['another kind of JSON', '"hello"'],
    ['null', 'null'],
    ['a time that is text', JSON.stringify({ ...event, at: '5' })],
    ['a time with a fraction', JSON.stringify({ ...event, at: 5.5 })],
    ['a negative time', JSON.stringify({ ...event, at: -5 })],
    ['an unknown type', JSON.stringify({ ...event, type: 'teleport' })],
    ['a path that is too long for a key', JSON.stringify({ ...event, path: 'x'.repeat(501) })],
    ['half of a surrogate pair', JSON.stringify({ ...event, path: '\ud800' })],
    ['a time beyond all calendars', JSON.stringify({ ...event, at: 9e15 })],
    ['no id', JSON.stringify({ ...event, id: undefined })],
  ])('is malformed with %s, and the reason is given', (_, malformed) => {
    const reading = readShopLine(malformed)
    expect(reading.event).toBeUndefined()
    expect(reading.reason).toBeTruthy()
  })
})
