export function ensureCloudInit(say?: (line: string) => void): string
