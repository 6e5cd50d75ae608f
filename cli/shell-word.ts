/** Text as one word of a shell's command line. */

/** Quoted where it holds anything that a shell reads: blanks, quotes, brackets. */
export const shellWord = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
