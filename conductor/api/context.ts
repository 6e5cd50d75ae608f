/** What every route needs of its request: the version that it speaks, and how lists are cut. */
import type { Request, Response } from 'express'
import { Fault } from '../../kit/fault.ts'
import type { Page } from '../store/port.ts'
import { negotiate, versionText } from './versions.ts'

const MAX_LIMIT = 1000

export const minorOf = (response: Response): number => response.locals.minor as number

export const readVersion = (request: Request): number =>
  negotiate({ modern: request.get('openstack-api-version'), legacy: request.get('x-openstack-ironic-api-version') })

/** Refuses what is newer than the version of the request (406). */
export function needs(response: Response, minor: number, what: string): void {
  if (minorOf(response) < minor) throw new Fault('input.version', `${what} needs version ${versionText(minor)}`)
}

export function single(request: Request, name: string): string | undefined {
  const value = request.query[name]
  if (value === undefined) return undefined
  if (typeof value !== 'string') throw new Fault('input.invalid', `${name}: give it once, as plain text`)
  return value
}

export function flag(request: Request, name: string): boolean | undefined {
  const text = single(request, name)?.toLowerCase()
  if (text === undefined) return undefined
  if (['true', '1', 'yes', 'on', 't', 'y'].includes(text)) return true
  if (['false', '0', 'no', 'off', 'f', 'n'].includes(text)) return false
  throw new Fault('input.invalid', `${name}: ${JSON.stringify(text.slice(0, 40))} is neither true nor false`)
}

/** limit, marker, sort_key, sort_dir. */
export function readPage(request: Request): Page {
  const limitText = single(request, 'limit')
  const limit = limitText === undefined ? MAX_LIMIT : Number(limitText)
  if (!Number.isInteger(limit) || limit <= 0) throw new Fault('input.invalid', `limit: ${JSON.stringify(limitText?.slice(0, 40))} is not a positive number`)
  const direction = single(request, 'sort_dir') ?? 'asc'
  if (direction !== 'asc' && direction !== 'desc') throw new Fault('input.invalid', 'sort_dir is neither asc nor desc')
  const marker = single(request, 'marker')
  return {
    limit: Math.min(limit, MAX_LIMIT),
    sortKey: single(request, 'sort_key') ?? 'id',
    descending: direction === 'desc',
    ...(marker === undefined ? {} : { marker }),
  }
}

/** An unknown argument is an error, not a list that was filtered by nothing. */
export function checkQuery(request: Request, known: readonly string[]): void {
  const unknown = Object.keys(request.query).filter((name) => !known.includes(name))
  if (unknown.length > 0)
    throw new Fault('input.invalid', `unexpected arguments: ${unknown.map((name) => name.slice(0, 64)).join(', ')}; known are ${known.join(', ')}`)
}

export const PAGE_ARGUMENTS = ['limit', 'marker', 'sort_key', 'sort_dir', 'fields', 'detail'] as const

/** `next` stands there exactly when the page is full, also when it happens to be the last (clients of Ironic expect it). */
export function nextLink(request: Request, base: string, at: { count: number; limit: number; last: string | undefined }): { next?: string } {
  if (at.count < at.limit || at.last === undefined) return {}
  const query = new URLSearchParams(Object.entries(request.query).filter(([name]) => name !== 'marker') as [string, string][])
  query.set('limit', String(at.limit))
  query.set('marker', at.last)
  return { next: `${base}${request.path.replace(/\/$/, '')}?${query.toString()}` }
}
