/** Builds the web console: a script and a style sheet with hashes in their names for its pages and for the serial
 *  console, the documents that load them, and each of them compressed. Plain JavaScript, because the build runs it before there is a compiler. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { brotliCompressSync, constants } from 'node:zlib'
import { build } from 'esbuild'

const page = (script, style) => `<!doctype html>
<html lang="en" data-theme="system">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <title>Rackward</title>
    <link rel="icon" href="/ui/icon.svg" />
    <link rel="stylesheet" href="/ui/${style}" />
    <script type="module" src="/ui/${script}"></script>
  </head>
  <body>
    <div id="app"></div>
    <noscript>This console needs JavaScript. The command line "rackward" does the same without.</noscript>
  </body>
</html>
`

export async function buildUi(root, outdir) {
  rmSync(outdir, { recursive: true, force: true })
  mkdirSync(outdir, { recursive: true })
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: {
      app: 'web/main.tsx',
      style: 'web/style.css',
      console: 'web/console.tsx',
      'console-style': 'web/console.css',
    },
    entryNames: '[name]-[hash]',
    bundle: true,
    minify: true,
    format: 'esm',
    target: ['chrome123', 'firefox125', 'safari17.5'],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    tsconfig: join(root, 'web/tsconfig.json'),
    metafile: true,
    outdir,
    logLevel: 'warning',
  })
  const made = Object.keys(metafile.outputs).map((path) => basename(path))
  const find = (start, end) => made.find((name) => name.startsWith(`${start}-`) && name.endsWith(end))
  writeFileSync(join(outdir, 'index.html'), page(find('app', '.js'), find('style', '.css')))
  writeFileSync(join(outdir, 'serial.html'), page(find('console', '.js'), find('console-style', '.css')))
  writeFileSync(join(outdir, 'icon.svg'), readFileSync(join(root, 'web/icon.svg')))
  for (const name of [...made, 'index.html', 'serial.html', 'icon.svg']) {
    const text = readFileSync(join(outdir, name))
    const packed = brotliCompressSync(text, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } })
    writeFileSync(join(outdir, `${name}.br`), packed)
  }
}
