/**
 * Shows the state that the server sends, and sends clicks. All that comes from records is put in as text: a path is
 * whatever somebody asked a server for.
 */
const byId = (id) => document.getElementById(id)
const number = new Intl.NumberFormat('en-US')
const clock = (time) => new Date(time).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })
const percent = (part, whole) => (whole === 0 ? '–' : `${((100 * part) / whole).toFixed(1)} %`)
const svg = (name, attributes) => {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value))
  return element
}
const text = (id, value) => {
  const element = byId(id)
  if (element.textContent !== value) element.textContent = value
}

const post = (path, body) =>
  fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) })

const offered = [
  { label: 'Home', type: 'view', path: '/' },
  { label: 'Sale', type: 'view', path: '/sale' },
  { label: 'Kettle', type: 'view', path: '/products/kettle' },
  { label: 'Lamp', type: 'view', path: '/products/lamp' },
  { label: 'Tent', type: 'view', path: '/products/tent' },
  { label: 'Add to cart', type: 'add-to-cart', path: '/cart' },
  { label: 'Order', type: 'order', path: '/checkout', isMain: true },
]

let clicked = 0
/** When the last view was clicked that has not come back counted yet. */
let waitingSince = null
let counted = 0
let before = new Map()

function showButtons() {
  const buttons = offered.map(({ label, type, path, isMain = false }) => {
    const button = document.createElement('button')
    button.textContent = label
    button.title = path
    button.classList.toggle('main', isMain)
    button.addEventListener('click', () => void click({ type, path }))
    return button
  })
  byId('buttons').replaceChildren(...buttons)
}

async function click(event) {
  const since = performance.now()
  if (event.type === 'view') waitingSince ??= since
  const answer = await post('/page-views', event).catch(() => null)
  if (answer?.ok !== true) {
    // It will not come back, so the next one must not be taken for it.
    if (waitingSince === since) waitingSince = null
    return text('took', 'The click was not taken.')
  }
  clicked++
  text('clicked', number.format(clicked))
}

function show(state) {
  text('time', new Date(state.now).toLocaleString([], { dateStyle: 'medium', timeStyle: 'medium' }))
  text('rate', number.format(state.minutes.at(-2)?.views ?? 0))
  text('from', clock(state.minutes[0]?.start ?? state.now))
  showChart(state.minutes)
  showSessions(state.sessions)
  showFunnel(state.funnel)
  showPages(state.pages)
  showYou(state.you)
  showAlerts(state.alerts)
}

function showChart(minutes) {
  const [width, height, head] = [600, 150, 14]
  const highest = Math.max(1, ...minutes.map(({ views }) => views))
  const step = width / minutes.length
  const bars = minutes.map(({ start, views }, index) => {
    const tall = (views / highest) * (height - head)
    const place = { x: index * step + 1, y: height - tall, width: step - 2, height: tall, rx: 2 }
    const bar = svg('rect', place)
    if (index === minutes.length - 1) bar.classList.add('now')
    const title = svg('title', {})
    title.textContent = `${clock(start)}: ${number.format(views)} views`
    bar.append(title)
    return bar
  })
  const top = svg('line', { x1: 0, x2: width, y1: head, y2: head })
  const chart = byId('chart')
  chart.setAttribute('viewBox', `0 0 ${width} ${height}`)
  chart.setAttribute('preserveAspectRatio', 'none')
  chart.replaceChildren(top, ...bars)
  text('highest', number.format(highest))
}

function showSessions({ now, pages, bounces }) {
  text('sessions', number.format(now))
  text('pages-per-session', now === 0 ? '–' : (pages / now).toFixed(1))
  text('bounces', percent(bounces, now))
}

function showFunnel({ since, views, bought }) {
  text('product-views', number.format(views))
  text('bought', number.format(bought))
  text('share', percent(bought, views))
  text('funnel-since', `since ${clock(since)}`)
  byId('funnel-views').style.width = views === 0 ? '0' : '100%'
  byId('funnel-bought').style.width = views === 0 ? '0' : `${(100 * bought) / views}%`
}

function showPages(pages) {
  const most = pages[0]?.views ?? 1
  const rows = pages.map(({ page, views }) => {
    const row = document.createElement('li')
    const [bar, name, count] = ['div', 'span', 'b'].map((tag) => document.createElement(tag))
    bar.className = 'bar'
    bar.style.width = `${(100 * views) / most}%`
    name.textContent = page
    name.title = page
    count.textContent = number.format(views)
    row.classList.toggle('moved', before.has(page) && before.get(page) < views)
    row.append(bar, name, count)
    return row
  })
  before = new Map(pages.map(({ page, views }) => [page, views]))
  byId('pages').replaceChildren(...rows)
}

function showYou(you) {
  const pages = you?.pages ?? 0
  if (pages > counted && waitingSince !== null) {
    text('took', `counted after ${Math.round(performance.now() - waitingSince)} ms`)
    waitingSince = null
  }
  counted = pages
  text('counted', number.format(pages))
  byId('path').hidden = you === null
  if (you !== null) text('path', `You came in by ${you.entry} and are at ${you.exit}.`)
}

function showAlerts(alerts) {
  byId('alert').hidden = alerts.length === 0
  text('alert', alerts.map(({ region, from }) => `Requests from ${region} fail since ${clock(from)}.`).join(' '))
}

let events = null

function follow() {
  events?.close()
  events = new EventSource('/events')
  const isOn = (on, word) => {
    byId('live').classList.toggle('on', on)
    text('live', word)
  }
  events.addEventListener('message', ({ data }) => {
    isOn(true, 'live')
    show(JSON.parse(data))
  })
  events.addEventListener('error', () => {
    isOn(false, events.readyState === EventSource.CLOSED ? 'open the address that the job printed' : 'not connected')
  })
}

async function open() {
  const token = location.hash.slice(1)
  if (token !== '') {
    // If the job does not answer, the stream of events says so.
    await post('/session', { token }).catch(() => null)
    // It has served; what is left in the address bar opens nothing.
    history.replaceState(null, '', '/')
  }
  follow()
}

// The address of a job that was started again differs from this page's only in the token: no browser loads it anew.
addEventListener('hashchange', () => void open())
showButtons()
await open()
