/** Every cause that `explain` can name, with its remedy. A code is the name of one failure and of no other. Pure. */

export const CAUSES = {
  'mesh.no-quorum': {
    cause: 'the store of the mesh takes no writes: a majority of the Consul servers is away, and nothing is fenced',
    remedy: 'start Consul on the arbiters that are named, or let them reach each other (port 8300, TCP)',
  },
  'mesh.store-away': {
    cause: 'this arbiter does not reach the store of the mesh; other arbiters do',
    remedy: 'look at Consul on this arbiter (its log, its token), and at its management network',
  },
  'arbiter.silent': {
    cause: 'an arbiter is silent: the mesh has lost its spare',
    remedy: 'start the agent of that arbiter, or its machine: when a majority is lost, nothing is fenced',
  },
  'arbiter.store-away': {
    cause: 'an arbiter runs and does not reach its Consul: the mesh has lost its spare',
    remedy: 'look at Consul on that arbiter; its agent starts it again where consul.run is set',
  },
  'rack.silent': {
    cause: 'the hosts of one rack fell silent together: its switch or its power feed',
    remedy:
      'look at the switch and the power feed of the rack; nothing is fenced until a BMC says that its host is off',
  },
  'hosts.silent': {
    cause: 'hosts of several racks fell silent together: a network or a power feed that they share',
    remedy:
      'look at the network between them and the arbiters; nothing is fenced until a BMC says that its host is off',
  },
  'storage.down': {
    cause: 'many hosts have lost the shared storage at once: the storage has failed, not the hosts',
    remedy: 'look at the storage itself and its network; the mesh fences nobody for it',
  },
  'plane.storage': {
    cause: 'the host has lost its storage plane, and lives: its guests cannot write',
    remedy: 'look at its storage network card, cable and switch port; its guests are stopped and moved',
  },
  'plane.isolated': {
    cause: 'the host answers on its storage plane alone: it has lost its other networks',
    remedy: 'look at its management and tenant network cards, cables and switch ports',
  },
  'plane.management': {
    cause: 'the host has lost its management plane; its guests serve on',
    remedy: 'look at its management network card, cable and switch port',
  },
  'plane.tenant': {
    cause: 'the host has lost its tenant plane: its guests run and cannot be reached',
    remedy: 'look at its tenant network card, cable and switch port',
  },
  'host.unheard': {
    cause: 'its peers hear the host and the arbiters do not: nothing gets from it to the arbiters',
    remedy: 'look at firewalls and routes from the host to the arbiters (UDP, each plane): one direction is enough',
  },
  'agent.lost': {
    cause: 'the agent of the host is gone or hangs; its machine answers',
    remedy: 'start rackward agent on the host, and look at its log; the policy agent_lost says whether it is fenced',
  },
  'host.dumping': {
    cause: 'the kernel of the host has panicked and writes a crash dump',
    remedy: 'wait for the dump, then read it; the host is fenced when the dump is over or takes too long',
  },
  'bmc.password': {
    cause: 'the BMC of the silent host refuses the user or the password: it cannot be switched off',
    remedy:
      'correct the user and the password of its BMC (driver_info of its node, or bmc.directFile); ' +
      'where they are right, the BMC has locked the user out: wait until that is over, or unlock it',
  },
  'bmc.other-machine': {
    cause: 'the BMC address of the silent host belongs to another machine: no power command is sent',
    remedy: 'correct the BMC address of the host; its GUID must be the SMBIOS UUID of the host',
  },
  'bmc.unconfigured': {
    cause: 'nobody knows how the BMC of the silent host is reached',
    remedy: 'name its BMC in bmc.directFile, or make it a node of the conductor',
  },
  'bmc.stays-on': {
    cause: 'the BMC took the command to switch the host off and still says "on"',
    remedy: 'switch the host off by hand and attest it (rackward incident attest), then update or reset its BMC',
  },
  'bmc.updating': {
    cause: 'the BMC of the silent host installs firmware: OFF waits until that is over',
    remedy: 'wait, or attest that the host is off (rackward incident attest)',
  },
  'bmc.refused': {
    cause: 'the BMC of the silent host refuses what it is asked',
    remedy: 'look at what it says, and at its own event log; reset the BMC when it stays so',
  },
  'bmc.untrusted': {
    cause: 'the BMC of the silent host shows a certificate that is not trusted: no power command is sent',
    remedy: 'look whether the address is right; then correct redfish_verify_ca or rackward_tls_pin of its node',
  },
  'bmc.unasked': {
    cause: 'the BMC of the silent host could not be asked, and not for a fault of its own',
    remedy: 'look at what is said of it: the conductor, the user of the arbiter there, or the machine of the arbiter',
  },
  'host.and-bmc-silent': {
    cause: 'the host and its BMC are both silent: no power, or their network is away',
    remedy: 'look at the power feed of the host and at the BMC network; attest that it is off when you have seen it',
  },
  'host.power-lost': {
    cause: 'the host has lost its power, or was switched off: not by the mesh',
    remedy: 'look at the event log of its BMC and at its power supplies, then switch it on',
  },
  'host.silent': {
    cause: 'the host is silent, and nothing says why yet',
    remedy: 'look again in a few seconds; a host with a hold is not asked for: its BMC says more',
  },
  'host.hangs': {
    cause: 'the host hangs, or all its networks are gone: its BMC says that it is on, and nothing of it answers',
    remedy: 'look at its console and at the event log of its BMC (memory, processor, kernel)',
  },
} as const

export type CauseCode = keyof typeof CAUSES

export interface Cause {
  readonly code: CauseCode
  readonly cause: string
  /** Who saw what, and when. */
  readonly evidence: readonly string[]
  readonly remedy: string
}

const CHARACTERS = 400
const MOST_EVIDENCE = 6

export const causeOf = (code: CauseCode, evidence: readonly (string | null | undefined)[]): Cause => ({
  code,
  cause: CAUSES[code].cause,
  evidence: evidence.flatMap((one) => (one ? [one.slice(0, CHARACTERS)] : [])).slice(0, MOST_EVIDENCE),
  remedy: CAUSES[code].remedy,
})
