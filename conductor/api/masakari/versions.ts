/** Microversions of Masakari's API, and the documents by which its clients find them. */
import { Fault } from '../../../kit/fault.ts'

/** Where Masakari's API stands; its service type has the same name. */
export const ROOT_PATH = '/instance-ha'
export const BASE_PATH = `${ROOT_PATH}/v1`
const SERVICE = 'instance-ha'
const MIN = 0
const MAX = 3

export const isMasakari = (path: string): boolean => path === ROOT_PATH || path.startsWith(`${ROOT_PATH}/`)

export const masakariVersion = (minor: number): string => `${SERVICE} 1.${minor}`

/** The minor version of a request; without a header it is the oldest, as monitors have it. */
export function negotiateMasakari(header: string | undefined): number {
  const text = header
    ?.split(',')
    .map((part) => part.trim().split(/\s+/))
    .find(([service]) => service?.toLowerCase() === SERVICE || service?.toLowerCase() === 'ha')?.[1]
  if (text === undefined) return MIN
  if (text.toLowerCase() === 'latest') return MAX
  const [, major, minor] = /^(\d{1,4})\.(\d{1,4})$/.exec(text) ?? []
  if (major === undefined || minor === undefined)
    throw new Fault(
      'input.invalid',
      `API Version String ${text.slice(0, 40)} is of invalid format. Must be of format MajorNum.MinorNum.`,
    )
  if (Number(major) !== 1 || Number(minor) > MAX)
    throw new Fault(
      'input.version-range',
      `Version ${text} is not supported by the API. Minimum is 1.${MIN} and maximum is 1.${MAX}.`,
    )
  return Number(minor)
}

const version = (base: string) => ({
  id: 'v1.0',
  status: 'CURRENT',
  version: `1.${MAX}`,
  min_version: `1.${MIN}`,
  updated: '2026-11-22T00:00:00Z',
  links: [{ rel: 'self', href: `${base}${BASE_PATH}/` }],
})

export const masakariVersions = (base: string) => ({ versions: [version(base)] })

export const masakariDocument = (base: string) => ({
  version: {
    ...version(base),
    'media-types': [{ base: 'application/json', type: 'application/vnd.openstack.masakari-v1+json' }],
  },
})
