/** Values that occur in many places of the configuration. */
import { isIPv4 } from 'node:net'
import * as z from 'zod'

export const Ip = z.string().refine(isIPv4, 'is not an IPv4 address')
export const Port = z.number().int().min(0).max(65535)
export const Url = z.url({ protocol: /^https?$/ })
export const File = z.string().min(1)
export const Seconds = z
  .number()
  .min(0)
  .max(7 * 86_400)
