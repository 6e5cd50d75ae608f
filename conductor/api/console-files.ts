/** Serves the web console at /ui/: files that the build made, held in memory, with the rules that a browser has to keep
 *  on these pages. */
import { readdir, readFile } from 'node:fs/promises'
import { extname, join } from 'node:path'
import type { Express, Request, Response } from 'express'

interface UiFile {
  readonly type: string
  /** For good: its name has the hash of its content. */
  readonly isKept: boolean
  readonly plain: Buffer
  readonly brotli: Buffer | undefined
}

export type UiFiles = ReadonlyMap<string, UiFile>

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}
const HASHED = /-[A-Z0-9]{8}\.\w+$/
const INDEX = 'index.html'
/** The document of the serial console, at /ui/console/NODE. */
const CONSOLE = 'serial.html'
const isConsole = (path: string): boolean => /^console\/[^/]+\/?$/.test(path)

/** Nothing from elsewhere, nothing inline, no string that becomes markup or code. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ')

/** The terminal of the serial console makes style elements: without them, its colours are lost. */
const CONSOLE_POLICY = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")

const HEADERS = {
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
} as const

/** Undefined when nothing was built there. */
export async function readUi(directory: string): Promise<UiFiles | undefined> {
  const names = await readdir(directory).catch((): string[] => [])
  const files = new Map<string, UiFile>()
  for (const name of names) {
    const type = TYPES[extname(name)]
    if (type === undefined) continue
    const brotli = names.includes(`${name}.br`) ? await readFile(join(directory, `${name}.br`)) : undefined
    files.set(name, { type, isKept: HASHED.test(name), plain: await readFile(join(directory, name)), brotli })
  }
  return files.has(INDEX) ? files : undefined
}

/** Whether a person looks: a browser asks for HTML before all else, and clients of the API never do. */
const wantsPage = (request: Request): boolean => /^text\/html\b/i.test(request.get('accept') ?? '')

/** Before all that is for programs: pages need no version and no user. */
export function mountUi(app: Express, files: UiFiles | undefined): void {
  if (!files) return
  app.get('/', (request, response, next) => {
    response.vary('Accept')
    if (!wantsPage(request)) return next()
    response.redirect(302, '/ui/')
  })
  app.get(['/ui', '/ui/{*path}'], (request, response, next) => {
    if (request.path === '/ui') return response.redirect(302, '/ui/')
    const name = request.path.slice('/ui/'.length)
    const file = files.get(name)
    // Addresses of pages are the console's own affair; a file that is gone is not one of them.
    if (!file && extname(name) !== '' && Object.hasOwn(TYPES, extname(name))) return next()
    const page = files.get(isConsole(name) && files.has(CONSOLE) ? CONSOLE : INDEX) as UiFile
    const shown = file ?? page
    response.set('Content-Security-Policy', shown === files.get(CONSOLE) ? CONSOLE_POLICY : POLICY)
    send(request, response, shown)
  })
}

function send(request: Request, response: Response, file: UiFile): void {
  const brotli = request.acceptsEncodings('br') === 'br' ? file.brotli : undefined
  response.set(HEADERS)
  response.set('Content-Type', file.type)
  response.set('Cache-Control', file.isKept ? 'public, max-age=31536000, immutable' : 'no-cache')
  response.set('Vary', 'Accept-Encoding')
  if (request.secure) response.set('Strict-Transport-Security', 'max-age=31536000')
  if (brotli) response.set('Content-Encoding', 'br')
  response.end(brotli ?? file.plain)
}
