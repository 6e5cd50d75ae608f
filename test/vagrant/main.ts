import { prepare } from './prepare.ts'

await prepare({ box: !process.argv.includes('--no-box') })
process.stderr.write('ready: vagrant up (what comes then: vagrant/README.md)\n')
