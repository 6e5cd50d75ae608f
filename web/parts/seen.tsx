/** What the conductor saw of a server: the steps of its boot, its ports, what was erased, and what is not as the last
 *  step left it. The same as `rackward node explain`. */
import type { Account } from '../api.ts'
import { fullTime } from '../format.ts'

function portText({ address, card, switch_port: at, loader }: Account['ports'][number]): string {
  const parts = [
    card,
    at &&
      `switch port ${at.circuit_id ?? '–'} of ${at.remote_id ?? '–'}${at.relay ? `, through relay ${at.relay}` : ''}`,
    loader && `loader ${loader.file}: ${loader.worked ? 'booted' : 'is tried'}`,
    loader && loader.silent.length > 0 && `fell silent before: ${loader.silent.join(', ')}`,
  ]
  return [address, ...parts.filter(Boolean)].join(', ')
}

export function WhatWasSeen({ account }: { readonly account: Account | undefined }) {
  const { seen = [], ports = [], drift = [], erased = null } = account ?? {}
  if (seen.length + ports.length + drift.length === 0 && erased === null) return null
  return (
    <section class="card">
      <h2>What was seen</h2>
      <ul class="lines">
        {drift.map(({ what, name, applied, now, since }) => (
          <li key={`${what} ${name}`} class="tone-warn">
            ▲ {what} {name} is {now ?? 'not there'}; the last step left {applied}
            {since !== null && <span class="muted"> (since {fullTime(since)})</span>}
          </li>
        ))}
        {seen.map(({ what, at, detail }) => (
          <li key={`${what} ${at}`}>
            {what} <time dateTime={at}>{fullTime(at)}</time>
            {detail !== '' && <p class="muted">{detail}</p>}
          </li>
        ))}
        {ports.map((port) => (
          <li key={port.uuid}>Port {portText(port)}</li>
        ))}
        {erased && (
          <li>
            Erased by {erased.step} <time dateTime={erased.at}>{fullTime(erased.at)}</time>
            {erased.disks.map(({ disk, serial, description }) => (
              <p class="muted" key={disk}>
                {disk} ({serial ?? 'no serial number'}): {description}
              </p>
            ))}
          </li>
        )}
      </ul>
    </section>
  )
}
