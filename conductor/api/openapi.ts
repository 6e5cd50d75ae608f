/** The OpenAPI 3.1 document of /rackward/v1, made from the schemas that check its input. */
import * as z from 'zod'
import type { DescribedRoute } from './route.ts'
import { Problem } from './rackward-schemas.ts'

type Schema = Record<string, unknown>

const schemaOf = (schema: z.ZodType, io: 'input' | 'output'): Schema => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Schema
  return rest
}

/** JSON Schema 2020-12, which zod writes, is the dialect of OpenAPI 3.1. */
export function openApi(routes: readonly DescribedRoute[]): Schema {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, '{$1}')
    paths[path] = { ...paths[path], [route.method]: operation(route) }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Rackward',
      version: '1',
      description: 'What Ironic’s node API has no word for. The node API itself is under /v1.',
    },
    paths,
    components: {
      securitySchemes: { basic: { type: 'http', scheme: 'basic' } },
      schemas: { Problem: schemaOf(Problem, 'output') },
    },
    security: [{ basic: [] }],
  }
}

function operation(route: DescribedRoute): Schema {
  const inPath = [...route.path.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
    description: name === 'id' ? 'as the list names it' : 'UUID or name',
  }))
  const query = route.query ? schemaOf(route.query, 'input') : {}
  const required = new Set((query.required as string[] | undefined) ?? [])
  const inQuery = Object.entries((query.properties ?? {}) as Record<string, Schema>).map(
    ([name, { description, ...schema }]) => ({
      name,
      in: 'query',
      required: required.has(name),
      schema,
      ...(description === undefined ? {} : { description }),
    }),
  )
  const problem = (description: string) => ({
    description,
    content: { 'application/json': { schema: { $ref: '#/components/schemas/Problem' } } },
  })
  return {
    operationId: `${route.method}-${route.path.replace('/rackward/v1/', '').replace(/[/:]+/g, '-')}`,
    summary: route.summary,
    description: `Needs the role ${route.role}.`,
    parameters: [...inPath, ...inQuery],
    ...(route.body
      ? { requestBody: { required: true, content: { 'application/json': { schema: schemaOf(route.body, 'input') } } } }
      : {}),
    responses: {
      ...(route.answer === 'websocket'
        ? { 101: { description: 'a websocket (RFC 6455)' } }
        : {
            200: {
              description: 'done',
              content: {
                'application/json': { schema: schemaOf(route.answer, 'output') },
                ...(route.answerType ? { [route.answerType]: { schema: { type: 'string' } } } : {}),
              },
            },
          }),
      400: problem('the input is not acceptable'),
      401: { description: 'no user, or a wrong password' },
      403: problem('the user may not do this'),
      404: problem('there is no such thing'),
    },
  }
}
