import { describe, expect, test } from 'vitest'
import { LiveView } from '../../examples/web-activity/page/live-view.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const noon = Date.UTC(2025, 10, 28, 12)

function session(visitor: string, start: number, end: number, pages: number) {
  return { visitor, start, end, pages, entry: '/', exit: '/sale' }
}

describe('the state that the page shows', () => {
  test('is the latest count of each minute and page of the last hour', () => {
    const view = new LiveView()
    view.viewsCounted('/', noon, 1)
    view.viewsCounted('/', noon, 7)
    view.viewsCounted('/sale', noon - 59 * minuteMs, 3)
    view.viewsCounted('/sale', noon - 60 * minuteMs, 50)
    view.viewsCounted('tick 1', noon, 9)

    const { minutes, pages } = view.state(noon + 30_000)

    expect(minutes.length).toBe(60)
    expect(minutes.at(-1)).toEqual({ start: noon, views: 7 })
    expect(minutes[0]).toEqual({ start: noon - 59 * minuteMs, views: 3 })
    expect(pages).toEqual([
      { page: '/', views: 7 },
      { page: '/sale', views: 3 },
    ])
  })

  test('has each session once, even after it grew, until half an hour after its last view', () => {
    const view = new LiveView()
    view.sessionChanged(session('you', noon, noon, 1), true)
    view.sessionChanged(session('you', noon, noon, 0), false)
    view.sessionChanged(session('you', noon, noon + minuteMs, 2), true)
    view.sessionChanged(session('v1', noon, noon, 1), true)

    expect(view.state(noon + 2 * minuteMs)).toMatchObject({
      sessions: { now: 2, pages: 3, bounces: 1 },
      you: { pages: 2, entry: '/', exit: '/sale' },
    })
    expect(view.state(noon + 30 * minuteMs + 1).sessions.now).toBe(1)
    expect(view.state(noon + 31 * minuteMs + 1)).toMatchObject({ sessions: { now: 0 }, you: null })
  })

  test('counts the product views, and the orders after them, since the start of the previous hour', () => {
    const view = new LiveView()
    view.viewsCounted('/products/kettle', noon - hourMs - minuteMs, 100)
    view.viewsCounted('/products/kettle', noon - hourMs, 4)
    view.viewsCounted('/products/mug', noon, 6)
    view.viewsCounted('/', noon, 50)
    view.boughtCounted(noon - 2 * hourMs, '/products/kettle', 9)
    view.boughtCounted(noon - hourMs, '/products/kettle', 1)
    view.boughtCounted(noon - hourMs, '/products/kettle', 2)

    expect(view.state(noon + 5 * minuteMs).funnel).toEqual({ since: noon - hourMs, views: 10, bought: 2 })
  })

  test('has an alert as long as its burst of failures lasts', () => {
    const view = new LiveView()
    view.alertTold('asia', noon, null)
    expect(view.state(noon).alerts).toEqual([{ region: 'asia', from: noon }])
    view.alertTold('asia', noon, noon + minuteMs)
    expect(view.state(noon).alerts).toEqual([])
  })

  test('counts at most 50 000 paths per minute, and forgets them with time', () => {
    const view = new LiveView()
    for (let index = 0; index < 60_000; index++) view.viewsCounted(`/${index}`, noon, 1)
    expect(view.state(noon).minutes.at(-1)?.views).toBe(50_000)
    view.state(noon + 3 * hourMs)
    view.viewsCounted('/new', noon + 3 * hourMs, 1)
    expect(view.state(noon + 3 * hourMs).pages).toEqual([{ page: '/new', views: 1 }])
  })
})
