/** Events that a BMC sends by itself. They are hints: something changed there, so that it is worth a read now. */

export interface BmcEvents {
  /** Listens until the stream ends or the signal comes. `onOpen`: it is listened to from now on. `onEvent`: something happened. Throws bmc.* faults;
   *  `node.unsupported` where the BMC has no stream. */
  follow(
    on: { readonly onOpen: () => void; readonly onEvent: (kind: string) => void },
    signal: AbortSignal,
  ): Promise<void>
}
