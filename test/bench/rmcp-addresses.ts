/** Where the BMCs of the bench are, and their passwords. */
export const PORT = 6_230
export const addressOf = (n: number): string => `127.88.${Math.floor(n / 250)}.${(n % 250) + 1}`
export const passwordOf = (n: number): string => `secret-${n}`
