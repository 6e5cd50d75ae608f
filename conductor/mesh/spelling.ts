/** The names that arbiters of version 0.2 give to some fields of their answers -> the names of today, so that a
 *  conductor and a CLI of today understand both while a mesh is upgraded. Pure. */

const RENAMED: Readonly<Record<string, string>> = {
  told_by: 'reported_by',
  says: 'message',
  verdict_says: 'verdict_message',
  means: 'description',
  why: 'reason',
  by: 'requested_by',
}

export function currentSpelling(answer: unknown): unknown {
  if (Array.isArray(answer)) return answer.map(currentSpelling)
  if (typeof answer !== 'object' || answer === null) return answer
  return Object.fromEntries(
    Object.entries(answer).map(([name, value]) => [
      Object.hasOwn(RENAMED, name) ? RENAMED[name] : name,
      currentSpelling(value),
    ]),
  )
}
