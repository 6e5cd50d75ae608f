/** Faults of requests, records, users and the programs that Rackward works with. */
import type { Meaning } from './meaning.ts'

export const SERVICE_FAULTS = {
  'input.invalid': {
    retry: false,
    description: 'the input is invalid',
    remedy: 'correct the named field and send the request again',
  },
  'input.missing': {
    retry: false,
    description: 'a required value is missing',
    remedy: 'add the named field and send the request again',
  },
  'input.version': {
    retry: false,
    description: 'the request needs a newer API version',
    remedy: 'send a higher version in the OpenStack-API-Version header',
  },
  'input.version-range': {
    retry: false,
    description: 'this server does not support the API version of the request',
    remedy: 'send a version from the range that the message names, or "latest", in the OpenStack-API-Version header',
  },
  'input.large': {
    retry: false,
    description: 'the body of the request is too large',
    remedy: 'send a smaller body, or raise its limit in the configuration (limits.api)',
  },
  'input.type': {
    retry: false,
    description: 'the body of the request is not JSON',
    remedy: 'send JSON with the header Content-Type: application/json',
  },
  'input.method': {
    retry: false,
    description: 'the resource does not support this method',
    remedy: 'use one of the methods that the message names',
  },
  'url.fetch': {
    retry: true,
    description: 'a URL could not be read',
    remedy: 'check the address, and that its server answers the conductor',
  },
  'url.busy': {
    retry: true,
    description: 'too many URLs are being read',
    remedy: 'send it again in a few seconds',
  },
  'object.missing': {
    retry: false,
    description: 'the object does not exist',
    remedy: 'list the objects to see their names',
  },
  'object.conflict': {
    retry: false,
    description: 'the request conflicts with the present state of the object or with another object',
    remedy: 'resolve the conflict that the message names, then send the request again',
  },
  'node.locked': {
    retry: true,
    description: 'the node is locked by another operation',
    remedy: 'wait until its reservation is null, then send the request again',
  },
  'node.elsewhere': {
    retry: false,
    description: 'the BMC of the node is reached by conductors of another group',
    remedy: 'send the request to one of them',
  },
  'node.state': {
    retry: false,
    description: 'the provision state of the node does not allow the request',
    remedy: 'bring the node into a state that allows it first',
  },
  'node.maintenance': { retry: false, description: 'the node is in maintenance', remedy: 'end its maintenance first' },
  'node.protected': {
    retry: false,
    description: 'the node is protected',
    remedy: 'clear its protected flag first',
  },
  'node.timeout': {
    retry: true,
    description: 'the node did not report in time',
    remedy: 'check what was last seen of it, then try again',
  },
  'node.network-data': {
    retry: false,
    description: 'the node has no usable static network data',
    remedy: 'set network_data of the node (or rackward_ip in driver_info), or boot it by ipxe',
  },
  'node.child': {
    retry: false,
    description: 'a step failed on a child node',
    remedy: 'check last_error of the child node, then send the request again',
  },
  'node.retired': { retry: false, description: 'the node is retired', remedy: 'clear its retired flag first' },
  'node.unsupported': {
    retry: false,
    description: 'an interface of the node does not support the operation',
    remedy: 'validate the node to see what its interfaces support',
  },
  'node.claimed': {
    retry: false,
    description: 'two machines claimed the same boot of the node, or its server restarted by itself',
    remedy: 'find out which other machine uses its MAC addresses, or why the server restarted; then repeat the request',
  },
  'node.lock-broken': {
    retry: false,
    description: 'an operator broke the lock of the node',
    remedy: 'check the server before the next request',
  },
  'access.unknown': {
    retry: false,
    description: 'the request carries no valid credentials',
    remedy: 'send the name and the password of a user of the htpasswd file',
  },
  'access.denied': {
    retry: false,
    description: 'the user does not have the permission that the request needs',
    remedy: 'ask an administrator for the role that it needs',
  },
  'access.limited': {
    retry: true,
    description: 'too many logins failed',
    remedy: 'wait a minute, then send the right password',
  },
  'access.often': {
    retry: true,
    description: 'requests come more often than a limit allows',
    remedy: 'send them less often, or raise the named limit',
  },
  'hook.unfinished': {
    retry: true,
    description: 'an alert could not be acted on',
    remedy: 'send it again; what was done already is not done twice',
  },
  'access.streams': {
    retry: true,
    description: 'too many event streams are open',
    remedy: 'close one of them, or raise the named limit',
  },
  'access.busy': {
    retry: true,
    description: 'too many passwords are waiting to be checked',
    remedy: 'send the request again in a few seconds',
  },
  'access.cross-site': {
    retry: false,
    description: 'the request comes from a page of another web site',
    remedy: 'send it from a program, or from a page of this host',
  },
  'store.broken': {
    retry: false,
    description: 'the database cannot be used',
    remedy: 'check the file, its permissions and the free space on its disk; or the database server that is configured',
  },
  'store.locked': {
    retry: false,
    description: 'another conductor uses this data directory, or this database',
    remedy: 'stop the other conductor or give this one its own data directory and database',
  },
  'store.migrated': {
    retry: false,
    description: 'the records of this store are in another one',
    remedy:
      'name the store that has the records in the configuration key `store`, or finish the move with `rackward store migrate`',
  },
  'store.doubt': {
    retry: true,
    description: 'the database may be older than what is known of it: it was restored from a backup',
    remedy:
      'see `rackward store doubt`: restore a newer backup, or go on with this one (`rackward store accept`); a boot room that is wrong is removed with `rackward room remove`',
  },
  'store.damaged': {
    retry: false,
    description: 'a stored record cannot be read',
    remedy: 'restore the database from a backup, or delete the object and create it again',
  },
  'store.moved': {
    retry: true,
    description: 'the record has changed since it was read',
    remedy: 'read it again and repeat the change',
  },
  'store.stale': {
    retry: true,
    description: 'the node no longer waits for what was reported or asked',
    remedy: 'read the node again; repeat the request if it is still wanted',
  },
  'secret.key': {
    retry: false,
    description: 'the key that decrypts the stored passwords cannot be used',
    remedy: 'restore the key file with mode 0600',
  },
  'key.broken': {
    retry: false,
    description: 'a key file of the agent API cannot be used',
    remedy:
      'restore the file with mode 0600; or delete it while no node is booting, so that a new one is created (agent.key and agent.crt belong together)',
  },
  'config.invalid': { retry: false, description: 'the configuration is invalid', remedy: 'correct the named key' },
  'consul.unreachable': {
    retry: true,
    description: 'Consul does not answer',
    remedy: 'check that the Consul agent of this machine runs and listens on the configured address',
  },
  'consul.denied': {
    retry: false,
    description: 'Consul refused the token',
    remedy: 'check the token file and the policy of the token',
  },
  'consul.failed': {
    retry: true,
    description: 'Consul could not carry out the request',
    remedy: 'check that its servers have a leader: rackward mesh status',
  },
  'mesh.member': {
    retry: false,
    description: 'the node is a live member of the mesh with instances',
    remedy: 'move its instances away first, or type its name to proceed anyway (header X-Rackward-Confirm)',
  },
  'mesh.unknown': {
    retry: true,
    description: 'it cannot be determined whether the mesh uses the node',
    remedy: 'restore Consul, or type the name of the host to proceed anyway',
  },
  'mesh.refused': {
    retry: true,
    description: 'the mesh did not take what the conductor had to tell it',
    remedy:
      'look at the log of the arbiter that leads; after 401 or 403 make mesh.username an admin of the arbiters, after 404 look whether the host was removed from the mesh',
  },
  'mesh.leaderless': {
    retry: true,
    description: 'no arbiter leads the mesh',
    remedy: 'see rackward mesh status; a leader is elected within half a minute when a majority of the arbiters runs',
  },
  'peer.unreached': {
    retry: true,
    description: 'another service could not be reached',
    remedy: 'check its address and that it runs',
  },
  'peer.lost': {
    retry: true,
    description: 'another service did not answer, and may have carried out the request',
    remedy: 'check what it did before you repeat the request',
  },
  'driver.failed': {
    retry: true,
    description: 'the instance driver could not carry out the request',
    remedy: 'read its message',
  },
  'driver.lost': {
    retry: true,
    description: 'the instance driver did not answer, and may have carried out the request',
    remedy: 'check the instance before you repeat the request',
  },
  'run.missing': { retry: false, description: 'a program is not installed', remedy: 'install the named program' },
  'run.resources': {
    retry: true,
    description: 'a program could not be started: file descriptors, memory or processes are exhausted',
    remedy: 'find out what uses them, and check the limits of the service (LimitNOFILE, TasksMax)',
  },
  'run.timeout': {
    retry: true,
    description: 'a program did not finish in time',
    remedy: 'check the load of the machine',
  },
  'run.failed': { retry: false, description: 'a program failed', remedy: 'read its message' },
} as const satisfies Record<string, Meaning>
