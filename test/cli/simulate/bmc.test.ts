/** The simulated BMC against the clients that real ones are used with: ipmitool and ipmipower, with either cipher
 *  suite. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { expect, onTestFinished, test } from 'vitest'
import { IpmiBmc, type Chassis, type ChassisCommand } from '../../../cli/simulate/ipmi-bmc.ts'
import { readDatagram } from '../../../cli/simulate/rmcp.ts'
import { systemRandom } from '../../../kit/random.ts'
import { run } from '../../../kit/run.ts'

async function startBmc() {
  const commands: ChassisCommand[] = []
  const chassis: Chassis & { isOn: boolean } = {
    isOn: false,
    bootFlags: Buffer.alloc(5),
    control(command) {
      commands.push(command)
      this.isOn = command === 'on'
    },
  }
  const guid = Buffer.from(Array.from({ length: 16 }, (_, i) => i))
  const bmc = new IpmiBmc({ chassis, user: 'admin', password: 'secret', guid, random: systemRandom })
  const socket = createSocket('udp4')
  socket.on('message', (bytes, from) => {
    const answer = bmc.answer(bytes)
    if (answer) socket.send(answer, from.port, from.address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  onTestFinished(() => void socket.close())
  return { chassis, commands, bmc, port: socket.address().port }
}

const ipmitool = (port: number, suite: number, words: string, password = 'secret') =>
  run(`ipmitool -I lanplus -H 127.0.0.1 -p ${port} -U admin -E -C ${suite} -N 2 -R 2 ${words}`.split(' '), {
    timeoutMs: 30_000,
    env: { IPMI_PASSWORD: password },
  })

test.each([3, 17])('ipmitool switches it on and sets its boot device with cipher suite %i', async (suite) => {
  const { chassis, commands, port } = await startBmc()
  expect((await ipmitool(port, suite, 'power status')).stdout).toContain('Chassis Power is off')
  expect((await ipmitool(port, suite, 'power on')).code).toBe(0)
  expect((await ipmitool(port, suite, 'power status')).stdout).toContain('Chassis Power is on')
  expect((await ipmitool(port, suite, 'chassis bootdev pxe options=efiboot')).code).toBe(0)
  expect(chassis.bootFlags.subarray(0, 2)).toEqual(Buffer.from([0xa0, 0x04]))
  expect((await ipmitool(port, suite, 'raw 0x06 0x37')).stdout.trim()).toBe(
    '00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f',
  )
  expect(commands).toEqual(['on'])
})

test('a wrong password opens no session, and another suite none either', async () => {
  const { commands, port } = await startBmc()
  const wrong = await ipmitool(port, 17, '-v power on', 'other')
  expect(wrong.code).not.toBe(0)
  expect(wrong.stderr).toContain('RAKP 2 HMAC is invalid')
  expect((await ipmitool(port, 2, 'power on')).code).not.toBe(0)
  expect(commands).toEqual([])
})

test.each(['3', '17'])('ipmipower reads its power with cipher suite %s', async (suite) => {
  const { chassis, port } = await startBmc()
  chassis.isOn = true
  const argv = `ipmipower -D LAN_2_0 -I ${suite} -u admin -p secret --stat -h 127.0.0.1:${port}`.split(' ')
  const { stdout } = await run(argv, { timeoutMs: 30_000 })
  expect(stdout).toContain(': on')
})

test('what is no datagram of IPMI, or is cut off, is not answered and hurts nobody', async () => {
  const { bmc } = await startBmc()
  const open = Buffer.from(
    '0600ff0706100000000000000000200000000000a4a3a2a0000000080100000001000008010000000200000801000000',
    'hex',
  )
  expect(bmc.answer(open)?.[5]).toBe(0x11)
  for (let length = 0; length < open.length; length += 1)
    expect(() => bmc.answer(open.subarray(0, length))).not.toThrow()
  expect(readDatagram(Buffer.from('not RMCP at all, and long enough'))).toBeUndefined()
  // An unsealed command to a session that is not open changes nothing.
  const control = Buffer.from('0600ff07060000000000000000000800201800e08102000160', 'hex')
  expect(() => bmc.answer(control)).not.toThrow()
})
