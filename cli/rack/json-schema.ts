/** The JSON schema of a rack file, for editors: `docs/examples/rack.schema.json`. */
import { z } from '../../conductor/api/node-input.ts'
import { NodeSpec, RackFile, UnitOnly, UnitSpec } from './schema.ts'

/** For editors: `+key` appends to what a profile has, `-key` takes away from it. */
export function jsonSchema(): Record<string, unknown> {
  const { use } = UnitOnly
  const loose = (schema: z.ZodType) => ({
    ...(withBraces(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })) as object),
    patternProperties: { '^[+-]': {} },
  })
  const whole = z.toJSONSchema(RackFile, { io: 'input', unrepresentable: 'any' }) as {
    properties: Record<string, { additionalProperties: Record<string, unknown> & { properties?: object } }>
  }
  const { profiles, racks } = whole.properties
  if (profiles) profiles.additionalProperties = withoutDialect(loose(NodeSpec.extend({ use })))
  const units = (racks?.additionalProperties.properties as { units?: Record<string, unknown> } | undefined)?.units
  if (units) units.additionalProperties = withoutDialect(loose(UnitSpec))
  return { title: 'Rack file of Rackward', ...whole }
}

/** A text of a unit may be one that is filled in, such as `{n}`. */
function withBraces(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withBraces)
  if (schema === null || typeof schema !== 'object') return schema
  const { format, ...rest } = schema as { format?: unknown }
  const entries = Object.entries(rest).map(([key, value]) => [
    key,
    key === 'pattern' && typeof value === 'string' ? `(?:${value})|\\{.+\\}` : withBraces(value),
  ])
  return { ...Object.fromEntries(entries), ...(typeof format === 'string' || format === undefined ? {} : { format }) }
}

function withoutDialect(schema: Record<string, unknown>): Record<string, unknown> {
  const { $schema: _, ...rest } = schema
  return rest
}
