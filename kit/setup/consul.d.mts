export function ensureConsul(say?: (line: string) => void): string
