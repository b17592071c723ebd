import { expect, test } from 'vitest'
import * as log from 'millrace/log'
import * as millrace from 'millrace'
import * as rxjs from 'millrace/rxjs'
import * as testing from 'millrace/testing'

test('the public API is these names and no others', () => {
  expect({
    millrace: Object.keys(millrace).toSorted(),
    'millrace/log': Object.keys(log).toSorted(),
    'millrace/rxjs': Object.keys(rxjs).toSorted(),
    'millrace/testing': Object.keys(testing).toSorted(),
  }).toMatchSnapshot()
})
