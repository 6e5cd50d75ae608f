/** The target of an HTTP request, as it stands in the request line: path and query, taken apart without judging
 *  either. */

/** Never throws: `//` is a path like any other (for `new URL` it would be a host without a name). */
export function requestTarget(target: string | undefined): { path: string; query: URLSearchParams } {
  const text = target ?? '/'
  const mark = text.indexOf('?')
  return mark < 0
    ? { path: text, query: new URLSearchParams() }
    : { path: text.slice(0, mark), query: new URLSearchParams(text.slice(mark + 1)) }
}
