/** Packs the program of a release for test/cluster/mixed-releases.test.ts: `node test/golden/release/make.mjs REF`, at
 *  each release. One text, because a build from git needs the history, which a fresh clone in CI may not have. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { brotliCompressSync, constants } from 'node:zlib'

const ROOT = join(import.meta.dirname, '../../..')
const MAX_BYTES = 1_000_000
const ref = process.argv[2]
if (!ref) throw new Error('make.mjs REF: a tag, or a commit')

const work = mkdtempSync(join(tmpdir(), 'rackward-release-'))
try {
  const commit = execFileSync('git', ['rev-parse', ref], { cwd: ROOT, encoding: 'utf8' }).trim()
  const archive = execFileSync('git', ['archive', commit], { cwd: ROOT, maxBuffer: 1 << 30 })
  execFileSync('tar', ['-x', '-C', work], { input: archive })
  symlinkSync(join(ROOT, 'node_modules'), join(work, 'node_modules'))
  const banner = `import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);`
  const words = ['cli/main.ts', 'kit/password-thread.js', '--entry-names=[name]', '--bundle', '--splitting']
  const form = ['--format=esm', '--platform=node', '--target=node20', '--minify', '--legal-comments=none']
  const external = ['better-sqlite3', 'sockopt', 'fast-json-patch'].map((name) => `--external:${name}`)
  const argv = ['esbuild', ...words, ...form, ...external, `--banner:js=${banner}`, '--outdir=out', '--log-level=warning']
  execFileSync('npx', argv, { cwd: work, stdio: 'inherit' })
  const files = Object.fromEntries(
    readdirSync(join(work, 'out')).map((name) => [name, readFileSync(join(work, 'out', name), 'utf8')]),
  )
  const text = Buffer.from(JSON.stringify({ commit, files }))
  const packed = brotliCompressSync(text, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 11,
      [constants.BROTLI_PARAM_LGWIN]: 24,
      [constants.BROTLI_PARAM_SIZE_HINT]: text.length,
    },
  })
  if (packed.length > MAX_BYTES) throw new Error(`${packed.length} bytes are more than ${MAX_BYTES}`)
  writeFileSync(join(import.meta.dirname, 'program.json.br'), packed)
  process.stdout.write(`${commit}: ${Object.keys(files).length} files, ${packed.length} bytes\n`)
} finally {
  rmSync(work, { recursive: true, force: true })
}
