/** A CSV file of nodes: the column driver says which keys of driver_info the BMC's address, user and password
 *  become. */
import { expect, test } from 'vitest'
import { readCsv } from '../../cli/enroll.ts'

const HEAD = 'name,driver,bmc,user,password,mac'

test('each driver gets its own keys; ipmi is meant where none is named', () => {
  const rows = [
    'a-1,,192.0.2.1,admin,p1,',
    'a-2,redfish,192.0.2.2,root,p2,',
    'a-3,idrac,https://192.0.2.3:8443,root,p3,',
  ]
  expect(readCsv([HEAD, ...rows].join('\n'), 'rack.csv')).toMatchObject([
    { driver: 'ipmi', driver_info: { ipmi_address: '192.0.2.1', ipmi_username: 'admin', ipmi_password: 'p1' } },
    {
      driver: 'redfish',
      driver_info: { redfish_address: '192.0.2.2', redfish_username: 'root', redfish_password: 'p2' },
    },
    { driver: 'idrac', driver_info: { redfish_address: 'https://192.0.2.3:8443', redfish_username: 'root' } },
  ])
})

test('a driver that has no such BMC is refused with its line', () => {
  expect(() => readCsv(`${HEAD}\na-1,xclarity,192.0.2.1,admin,p1,`, 'rack.csv')).toThrow(
    /rack\.csv: line 2: the driver is none of ipmi, redfish, idrac/,
  )
})
