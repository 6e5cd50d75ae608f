/** The pace of load and harm: how long a client rests between two requests, how long a phase lasts. Nothing is waited for with it. */
export const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms)
  })
