import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { answersOf, ended, type Run, startJob } from './run-job.ts'

const browserPath = '/usr/bin/chromium'
const browserArguments = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** Needs a browser: on Debian, `apt-get install chromium`. */
describe.skipIf(!existsSync(browserPath))(
  `the live page in a browser (skipped where there is no ${browserPath})`,
  () => {
    let directory = ''
    let browser: Browser
    let page: Page
    let url = ''
    let stop: () => Promise<Run>
    const problems: string[] = []

    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), 'millrace-page-'))
      const job = startJob(
        `--live --page --port 0 --events 2000 --json --data-dir ${join(directory, 'data')}`.split(' '),
      )
      const end = ended(job)
      stop = () => {
        job.kill('SIGINT')
        return end
      }
      const launching = chromium.launch({ executablePath: browserPath, args: browserArguments })
      url = await new Promise<string>((resolve, reject) => {
        job.stderr.on('data', (text: string) => {
          const [found] = /http:\/\/\S+/.exec(text) ?? []
          if (found !== undefined) resolve(found)
        })
        end.then(({ errors }) => reject(new Error(`the job has ended: ${errors}`)), reject)
      })
      browser = await launching
      page = await browser.newPage()
      page.on('console', (message) => void problems.push(message.text()))
      page.on('pageerror', (error) => void problems.push(error.message))
      await page.goto(url)
      await page.getByText('live', { exact: true }).waitFor()
    })

    afterAll(async () => {
      await browser?.close()
      await rm(directory, { recursive: true, force: true })
    })

    test('counts a click within a second, and keeps the token out of the address', async () => {
      expect(new URL(page.url()).hash).toBe('')
      const took: number[] = []
      for (const [index, name] of ['Kettle', 'Home', 'Lamp'].entries()) {
        const before = performance.now()
        await page.getByRole('button', { name }).click()
        await page.locator('#counted', { hasText: new RegExp(`^${index + 1}$`) }).waitFor()
        took.push(performance.now() - before)
      }
      // The quickest click counts: other tests may keep the machine busy for a second.
      expect(Math.min(...took), `the clicks took ${took.map(Math.round).join(', ')} ms`).toBeLessThan(1000)
      await page.getByText('You came in by /products/kettle and are at /products/lamp.').waitFor()
      await page.locator('#pages').getByText('/products/kettle').waitFor()
    })

    test('shows a path with markup and scripts as plain text', async () => {
      const path = '/<img src=x onerror="document.title=1"><script>document.title=2</script>'
      const status = await page.evaluate(async (hostile) => {
        const body = JSON.stringify({ type: 'view', path: hostile })
        const headers = { 'Content-Type': 'application/json' }
        return (await fetch('/page-views', { method: 'POST', headers, body })).status
      }, path)

      expect(status).toBe(202)
      await page.locator('#pages').getByText(path, { exact: true }).waitFor()
      await page.getByText(`are at ${path}.`).waitFor()
      expect(await page.locator('main img, main script').count()).toBe(0)
      expect(await page.title()).toBe('Web activity, live')
      expect(problems).toEqual([])
    })

    test('opens in a tab that shows it already, when the address of a job that was started again is entered there', async () => {
      // To the page, a job that was started again is one that no longer knows its cookie.
      await page.context().clearCookies()
      await page.reload()
      await page.getByText('open the address that the job printed').waitFor()
      // Only the fragment differs, so the browser stays on the page that it has.
      await page.goto(url)

      await page.getByText('live', { exact: true }).waitFor({ timeout: 5000 })
      expect(new URL(page.url()).hash).toBe('')
    })

    test('exits with 0 on Ctrl-C while a browser is connected, and every click is in the answers', async () => {
      const run = await stop()

      const rows = answersOf(run)
      expect(rows).toContainEqual(
        expect.objectContaining({ answer: 'sessions', visitor: 'you', pages: 4, entry: '/products/kettle' }),
      )
      expect(run.code).toBe(0)
    })
  },
)
