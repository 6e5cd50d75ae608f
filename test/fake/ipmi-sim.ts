/** The command line of an ipmi_sim whose configuration and state stand in a directory. */
import { join } from 'node:path'

export const ipmiSimArgv = (dir: string): string[] => [
  'ipmi_sim',
  '-n',
  '-c',
  join(dir, 'lan.conf'),
  '-f',
  join(dir, 'emu.cmd'),
  '-s',
  join(dir, 'state'),
]
