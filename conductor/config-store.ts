/** The configuration of the store: one file here, or a database server. */
import * as z from 'zod'
import { File } from './config-values.ts'
import { urlFlaw } from './store/postgres/url.ts'

const Postgres = z.strictObject({
  url: z
    .string()
    .superRefine((text, context) => {
      const flaw = urlFlaw(text)
      if (flaw !== undefined) context.addIssue({ code: 'custom', message: flaw })
    })
    .describe(
      'The primary of PostgreSQL 13 or later, as postgresql://user@host:port/database, or postgresql:///database?host=/run/postgresql&user=rackward by a unix socket. With several hosts, as postgresql://user@db1:5432,db2:5432/database?target_session_attrs=read-write, the one that takes changes is used. The database is for Rackward alone, and its encoding is UTF8.',
    ),
  passwordFile: File.optional().describe('File of mode 0600 with the password.'),
  tls: z
    .union([
      z.literal('off'),
      z.strictObject({
        caFile: File.optional().describe('CA certificates (PEM) for the server. Absent: those of Node.js.'),
        certFile: File.optional().describe('Certificate chain (PEM) that this conductor shows.'),
        keyFile: File.optional().describe('Its private key (PEM), mode 0600.'),
      }),
    ])
    .prefault({})
    .describe('TLS, with the certificate of the server checked; `off`: none, for a unix socket or this machine alone.'),
  conductors: z
    .enum(['one', 'several'])
    .default('one')
    .describe(
      '`several`: all conductors of the database that say so work at the same time, each on its share of the nodes of its `conductorGroup`, and take over within 20 seconds what another one leaves; they need the same secret.key, and host names of their own. `one`: this one works alone, and waits or is refused while another one does.',
    ),
  connections: z.number().int().min(1).max(100).default(8).describe('Connections at most; two more are for its own.'),
})

export const StoreConfig = z
  .union([z.literal('sqlite'), z.strictObject({ postgres: Postgres.describe('The PostgreSQL database.') })])
  .default('sqlite')
  .describe('Where records are kept: `sqlite` is a file in the data directory.')

export type PostgresConfig = z.infer<typeof Postgres>
