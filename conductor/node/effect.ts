/** What the workflow of a node asks of the world outside its record. */
export type NodeBootDevice = 'pxe' | 'disk' | 'cdrom'

/** Something to do outside the record. Absolute and idempotent: performing it twice has the same result as performing
 *  it once. */
export type Effect =
  | { readonly do: 'bmc-check' }
  /** Waits until there is room for one more server that boots and fetches; nobody performs it: the queue of admission
   *  ends it. */
  | { readonly do: 'admission' }
  | { readonly do: 'image' }
  /** What a ramdisk instance boots. */
  | { readonly do: 'boot-files' }
  | { readonly do: 'publish' }
  /** `always`: also when the server starts by itself later, which for the network only an instance of deploy_interface
   *  ramdisk wants. */
  | { readonly do: 'boot-device'; readonly device: NodeBootDevice; readonly always?: true }
  /** Puts the boot ISO of the present boot into the virtual drive of the BMC; null: takes out what is in it. */
  | { readonly do: 'media'; readonly put: 'ramdisk' | null }
  /** Waits until the boot ISO was asked for. */
  | { readonly do: 'media-asked' }
  /** Lets the firmware fetch the boot ISO at the next start (UEFI HTTP boot). */
  | { readonly do: 'http-boot' }
  /** `soft`: the operating system is asked to shut down. */
  | { readonly do: 'power'; readonly to: 'power on' | 'power off'; readonly soft?: true; readonly timeoutMs?: number }
  /** Restarts the server without switching it off, where `disable_power_off` forbids that. */
  | { readonly do: 'reset' }
  | { readonly do: 'wait'; readonly seconds: number }
  /** The present step, on a child node. */
  | { readonly do: 'child-step'; readonly node: string }
  /** `set`: for the next start. `restart`: the same, with a restart after it, and a server that was off is off again in
   *  the end; `prove`: what was set before a start. The last two leave a task that is looked at until it holds.
   *  `unlessSigned`: Secure Boot stays as it is where the ramdisk comes through signed loaders. */
  | {
      readonly do: 'firmware-mode'
      readonly bootMode?: 'uefi' | 'bios'
      readonly secureBoot?: boolean
      readonly how: 'set' | 'prove' | 'restart'
      readonly wasOff?: true
      readonly unlessSigned?: true
    }
  /** Reads the inventory through the BMC. */
  | { readonly do: 'inspect' }
  /** A step of fake hardware. */
  | { readonly do: 'simulate' }
  /** Long work of the BMC for the present step: everything is read and checked; the order is sent; its progress is
   *  looked at. */
  | { readonly do: 'bmc-prepare' }
  | { readonly do: 'bmc-begin' }
  | { readonly do: 'bmc-look' }
