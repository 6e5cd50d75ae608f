/** How Node.js runs the boot services. Young memory of 64 MB from the start: DHCP stops while V8 looks through it, so
 *  the fewer times the better. */
export const BOOT_NODE_ARGS = ['--max-semi-space-size=64', '--min-semi-space-size=64'] as const
