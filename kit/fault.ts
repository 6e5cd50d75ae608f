/** One registry of everything that can go wrong: what it means, what to do, whether trying again can help.
 *  Nothing here knows HTTP: `conductor/api/problems.ts` maps codes to statuses. */

interface Meaning {
  readonly retry: boolean
  readonly means: string
  readonly remedy: string
}

export const FAULTS = {
  'input.invalid': {
    retry: false,
    means: 'the input is not acceptable',
    remedy: 'correct the named field and send it again',
  },
  'input.missing': {
    retry: false,
    means: 'a required value is missing',
    remedy: 'add the named field and send it again',
  },
  'input.version': {
    retry: false,
    means: 'this needs a newer API version',
    remedy: 'send a higher version in the OpenStack-API-Version header',
  },
  'input.version-range': {
    retry: false,
    means: 'this server does not have this API version',
    remedy: 'send a version from the range that the message names, or "latest", in the OpenStack-API-Version header',
  },
  'input.large': {
    retry: false,
    means: 'the body of the request is too large',
    remedy: 'send a smaller body, or raise its limit in the configuration (limits.api)',
  },
  'input.type': {
    retry: false,
    means: 'the body of the request is not JSON',
    remedy: 'send JSON with the header Content-Type: application/json',
  },
  'object.missing': { retry: false, means: 'there is no such object', remedy: 'list the objects to see their names' },
  'object.conflict': {
    retry: false,
    means: 'another object has this value already',
    remedy: 'choose another value or remove the other object',
  },
  'node.locked': {
    retry: true,
    means: 'the node is busy with another act',
    remedy: 'wait until reservation is empty and send the request again',
  },
  'node.state': {
    retry: false,
    means: 'the node cannot do this in its state',
    remedy: 'bring the node into a state that allows it first',
  },
  'node.maintenance': { retry: false, means: 'the node is in maintenance', remedy: 'clear maintenance first' },
  'node.protected': { retry: false, means: 'the node is protected', remedy: 'clear the protected flag first' },
  'node.timeout': {
    retry: true,
    means: 'the node did not report in time',
    remedy: 'look at what was last seen of it, then try again',
  },
  'node.retired': { retry: false, means: 'the node is retired', remedy: 'clear the retired flag first' },
  'node.unsupported': {
    retry: false,
    means: 'an interface of the node cannot do this',
    remedy: 'look at validate for what its interfaces can do',
  },
  'node.claimed': {
    retry: false,
    means: 'two machines claimed the same boot of the node, or its server restarted by itself',
    remedy: 'find out who else answers to its MAC addresses, and why it may have restarted; then start the order again',
  },
  'node.lock-broken': {
    retry: false,
    means: 'an operator broke the lock of the node',
    remedy: 'look at the server before the next verb',
  },
  'access.unknown': {
    retry: false,
    means: 'nobody that is known asks',
    remedy: 'give the user and the password of the htpasswd file',
  },
  'access.denied': {
    retry: false,
    means: 'the user may not do this',
    remedy: 'ask an administrator for the role that it needs',
  },
  'access.limited': {
    retry: true,
    means: 'too many failed logins',
    remedy: 'wait a minute and use the right password',
  },
  'access.streams': {
    retry: true,
    means: 'too many event streams are open',
    remedy: 'close one of them, or raise the named limit',
  },
  'access.busy': {
    retry: true,
    means: 'too many passwords wait to be checked',
    remedy: 'send it again in a few seconds',
  },
  'access.cross-site': {
    retry: false,
    means: 'the request comes from a page of another web site',
    remedy: 'send it from a program, or from a page of this host',
  },
  'input.method': {
    retry: false,
    means: 'the resource does not take this method',
    remedy: 'use one of the methods that it names',
  },
  'store.broken': {
    retry: false,
    means: 'the database cannot be used',
    remedy: 'check the file, its rights and the space on its disk',
  },
  'store.locked': {
    retry: false,
    means: 'another conductor runs on this data directory',
    remedy: 'stop the other conductor or give this one its own data directory',
  },
  'store.damaged': {
    retry: false,
    means: 'a stored record cannot be read',
    remedy: 'restore the database from a backup, or delete the object and create it again',
  },
  'store.stale': { retry: true, means: 'the record changed meanwhile', remedy: 'read it again and repeat the change' },
  'secret.key': {
    retry: false,
    means: 'the key that opens stored passwords cannot be used',
    remedy: 'restore the key file with mode 0600',
  },
  'key.broken': {
    retry: false,
    means: 'a key file of the agents’ door cannot be used',
    remedy:
      'restore the file with mode 0600; or remove it while no node is being booted, and a new one is made (agent.key and agent.crt go together)',
  },
  'config.invalid': { retry: false, means: 'the configuration is not acceptable', remedy: 'correct the named key' },
  'bmc.unreachable': {
    retry: true,
    means: 'the BMC did not answer',
    remedy: 'check its address, its cable, and that IPMI over LAN is switched on',
  },
  'bmc.password': {
    retry: false,
    means: 'the BMC refused the user or the password',
    remedy: 'correct ipmi_username and ipmi_password in driver_info',
  },
  'bmc.refused': {
    retry: false,
    means: 'the BMC refused the command',
    remedy: 'check the privilege level of the BMC user',
  },
  'bmc.timeout': { retry: true, means: 'the BMC did not finish in time', remedy: 'reset the BMC if it stays slow' },
  'bmc.busy': { retry: true, means: 'the BMC was not asked: other acts came first', remedy: 'try again in a moment' },
  'bmc.unproven': {
    retry: true,
    means: 'the BMC took the command, but the power state did not follow',
    remedy: 'look at the server; it may ignore its BMC',
  },
  'bmc.soft-off': {
    retry: false,
    means: 'the operating system did not shut down when it was asked to',
    remedy: 'use "power off", or look at its console',
  },
  'bmc.config': { retry: false, means: 'driver_info is not complete', remedy: 'set the named key in driver_info' },
  'boot.down': { retry: true, means: 'the boot services do not run', remedy: 'see the log of the boot process' },
  'image.checksum': {
    retry: false,
    means: 'the image does not have the promised checksum',
    remedy: 'get the image again, or correct its checksum',
  },
  'image.format': {
    retry: false,
    means: 'the image is not of a kind that can be used',
    remedy: 'give a raw or qcow2 image without a backing file',
  },
  'image.source': {
    retry: true,
    means: 'the image could not be read',
    remedy: 'check the address and that the conductor may read it',
  },
  'image.broken': {
    retry: false,
    means: 'a stored image cannot be used',
    remedy: 'remove it with rackward image rm and its id, and import it again',
  },
  'image.missing': {
    retry: false,
    means: 'there is no such image in the store',
    remedy: 'import it with: rackward image import',
  },
  'image.piece': {
    retry: true,
    means: 'a piece of the image is not what its index says',
    remedy: 'import the image again; its stored copy is damaged',
  },
  'deploy.no-disk': {
    retry: false,
    means: 'no disk can take the image',
    remedy: 'check the disks in the inventory and the root device hints',
  },
  'deploy.hints': {
    retry: false,
    means: 'no disk matches the root device hints',
    remedy: 'correct properties/root_device, or instance_info/root_device',
  },
  'deploy.ambiguous': {
    retry: false,
    means: 'more than one disk matches the root device hints equally',
    remedy: 'hint by serial or wwn',
  },
  'deploy.too-small': {
    retry: false,
    means: 'the disk is smaller than the image',
    remedy: 'choose a bigger disk or a smaller image',
  },
  'deploy.write': { retry: true, means: 'the disk could not be written', remedy: 'check the health of the disk' },
  'deploy.readback': { retry: false, means: 'the disk does not hold what was written', remedy: 'replace the disk' },
  'deploy.download': {
    retry: true,
    means: 'the image could not be fetched from the conductor',
    remedy: 'check the network between the node and the conductor',
  },
  'deploy.firmware': {
    retry: false,
    means: 'the boot entry could not be set',
    remedy: 'check the boot settings of the firmware',
  },
  'inspect.rule': {
    retry: false,
    means: 'an inspection rule failed',
    remedy: 'look at the rule and at the inventory that it read',
  },
  'clean.failed': {
    retry: false,
    means: 'a disk could not be cleaned',
    remedy: 'check the disk, then manage and provide the node again',
  },
  'agent.token': {
    retry: false,
    means: 'the boot token is not valid',
    remedy: 'boot the node again through its conductor',
  },
  'agent.session': {
    retry: false,
    means: 'the agent session is not valid',
    remedy: 'boot the node again through its conductor',
  },
  'agent.network': {
    retry: true,
    means: 'the agent cannot reach the conductor',
    remedy: 'check the network between the node and the conductor',
  },
  'agent.broken': {
    retry: false,
    means: 'the agent failed in a way that nobody foresaw',
    remedy: 'look at the console of the node and report this',
  },
  'consul.unreachable': {
    retry: true,
    means: 'Consul does not answer',
    remedy: 'check that its agent runs here and listens where the configuration says',
  },
  'consul.denied': {
    retry: false,
    means: 'Consul refused the token',
    remedy: 'check the token file and the policy of the token',
  },
  'consul.failed': {
    retry: true,
    means: 'Consul could not do it',
    remedy: 'check that its servers have a leader: rackward mesh status',
  },
  'mesh.member': {
    retry: false,
    means: 'the node is a living member of the mesh with instances',
    remedy: 'move its instances away first, or type its name to do it all the same (header X-Rackward-Confirm)',
  },
  'mesh.unknown': {
    retry: true,
    means: 'nobody can say whether the node is in use by the mesh',
    remedy: 'bring Consul back, or type the name of the host to do it all the same',
  },
  'mesh.leaderless': {
    retry: true,
    means: 'no arbiter leads the mesh',
    remedy: 'see rackward mesh status; a leader is found within half a minute when a majority of arbiters runs',
  },
  'peer.unreached': {
    retry: true,
    means: 'another service could not be reached',
    remedy: 'check its address and that it runs',
  },
  'peer.lost': {
    retry: true,
    means: 'another service did not answer, and may have done it',
    remedy: 'look at what it did before it is asked again',
  },
  'driver.failed': { retry: true, means: 'what manages the instances did not do it', remedy: 'read its message' },
  'driver.lost': {
    retry: true,
    means: 'what manages the instances did not answer, and may have done it',
    remedy: 'look at the instance before it is asked again',
  },
  'run.missing': { retry: false, means: 'a program is not installed', remedy: 'install the named program' },
  'run.resources': {
    retry: true,
    means: 'a program could not be started, because file descriptors, memory or processes are used up',
    remedy: 'see what uses them up, and the limits of the service (LimitNOFILE, TasksMax)',
  },
  'run.timeout': { retry: true, means: 'a program did not end in time', remedy: 'look at the load of the machine' },
  'run.failed': { retry: false, means: 'a program failed', remedy: 'read its message' },
} as const satisfies Record<string, Meaning>

export type FaultCode = keyof typeof FAULTS

export class Fault extends Error {
  override readonly name = 'Fault'
  readonly code: FaultCode
  /** What happened, to what: free of secrets, without the remedy. */
  readonly detail: string

  constructor(code: FaultCode, detail: string, options?: { cause?: unknown }) {
    super(`${detail} (${FAULTS[code].remedy})`, options)
    this.code = code
    this.detail = detail
  }

  get retry(): boolean {
    return FAULTS[this.code].retry
  }
}

export const isFault = (error: unknown, code?: FaultCode): error is Fault =>
  error instanceof Fault && (code === undefined || error.code === code)

/** Any thrown thing as a Fault; what is none yet becomes `code`. */
export const asFault = (error: unknown, code: FaultCode): Fault =>
  error instanceof Fault
    ? error
    : new Fault(code, error instanceof Error ? error.message : String(error), { cause: error })

/** For switches that must be exhaustive. */
export const never = (value: never): never => {
  throw new Error(`unexpected ${JSON.stringify(value)}`)
}
