/** YAML, loaded when it is needed. By name, because what a bundle makes of `await import('./yaml.ts')` has no names:
 *  the package is CommonJS there. */
export { isAlias, isMap, isScalar, isSeq, LineCounter, parse, parseAllDocuments, stringify } from 'yaml'
