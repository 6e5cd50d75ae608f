/** The schema, one step per entry. A step that was published is never changed; a new one is added. */
import { NODE_COUNTS } from './node-counts.ts'
import { NODE_VIFS } from './node-vifs.ts'
import { SORT_INDEXES } from './sort-indexes.ts'

export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE nodes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE,
    name TEXT UNIQUE,
    instance_uuid TEXT UNIQUE,
    provision_state TEXT NOT NULL,
    maintenance INTEGER NOT NULL,
    driver TEXT NOT NULL,
    resource_class TEXT,
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER,
    body TEXT NOT NULL
  ) STRICT;
  CREATE INDEX nodes_by_state ON nodes (provision_state);
  CREATE TABLE ports (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE,
    address TEXT NOT NULL UNIQUE,
    node_uuid TEXT NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    updated_at INTEGER,
    body TEXT NOT NULL
  ) STRICT;
  CREATE INDEX ports_by_node ON ports (node_uuid);
  CREATE TABLE inventories (
    node_uuid TEXT PRIMARY KEY REFERENCES nodes (uuid) ON DELETE CASCADE,
    body TEXT NOT NULL
  ) STRICT;
  CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    node_uuid TEXT REFERENCES nodes (uuid) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL
  ) STRICT;
  CREATE INDEX events_by_node ON events (node_uuid, seq);
  `,
  `
  CREATE TABLE objects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    uuid TEXT NOT NULL,
    name TEXT,
    node_uuid TEXT REFERENCES nodes (uuid) ON DELETE CASCADE,
    unique_key TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER,
    body TEXT NOT NULL,
    UNIQUE (kind, uuid),
    UNIQUE (kind, name),
    UNIQUE (kind, unique_key)
  ) STRICT;
  CREATE INDEX objects_by_node ON objects (node_uuid);
  ALTER TABLE ports ADD COLUMN name TEXT;
  -- Every list leaves child nodes out, so that is not asked of the body.
  ALTER TABLE nodes ADD COLUMN parent_node TEXT;
  CREATE UNIQUE INDEX ports_by_name ON ports (name);
  -- Events outlive their node: what happened to it is still asked for when it is gone.
  ALTER TABLE events RENAME TO events_before;
  DROP INDEX events_by_node;
  CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    node_uuid TEXT,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL
  ) STRICT;
  INSERT INTO events SELECT * FROM events_before;
  DROP TABLE events_before;
  CREATE INDEX events_by_node ON events (node_uuid, seq);
  CREATE INDEX events_by_time ON events (at);
  CREATE INDEX events_by_kind ON events (kind, seq);
  CREATE TABLE durations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    model TEXT NOT NULL,
    state TEXT NOT NULL,
    took_ms INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX durations_by_model ON durations (model, state, id);
  CREATE TABLE cursors (name TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT;
  CREATE TABLE conductors (hostname TEXT PRIMARY KEY, alive_at INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
  `,
  `
  -- Where the BMC is, in one spelling (bmc_address is a function of this program): one node per BMC. Not UNIQUE: older databases may hold two.
  ALTER TABLE nodes ADD COLUMN bmc TEXT;
  UPDATE nodes SET bmc = bmc_address(driver, json_extract(body, '$.driverInfo')) WHERE json_valid(body);
  CREATE INDEX nodes_by_bmc ON nodes (bmc) WHERE bmc IS NOT NULL;
  `,
  `
  -- A change of one of these is refused when another came in between.
  ALTER TABLE objects ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE ports ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
  `,
  `
  -- What lists filter and sort by has columns, and the body comes last: a list never reads through bodies. What is secret stands in a column of its own, which no
  -- value of a body can imitate; NULL there: the record is of a program that sealed values in place, and is rewritten when the database is opened.
  CREATE TABLE bodies_before (uuid TEXT PRIMARY KEY, body TEXT NOT NULL);
  INSERT INTO bodies_before SELECT uuid, body FROM nodes;
  ALTER TABLE nodes DROP COLUMN body;
  ALTER TABLE nodes ADD COLUMN owner TEXT;
  ALTER TABLE nodes ADD COLUMN lessee TEXT;
  ALTER TABLE nodes ADD COLUMN shard TEXT;
  ALTER TABLE nodes ADD COLUMN conductor_group TEXT;
  ALTER TABLE nodes ADD COLUMN chassis_uuid TEXT;
  ALTER TABLE nodes ADD COLUMN power_state TEXT;
  ALTER TABLE nodes ADD COLUMN target_power_state TEXT;
  ALTER TABLE nodes ADD COLUMN fault TEXT;
  ALTER TABLE nodes ADD COLUMN protected INTEGER;
  ALTER TABLE nodes ADD COLUMN retired INTEGER;
  ALTER TABLE nodes ADD COLUMN automated_clean INTEGER;
  ALTER TABLE nodes ADD COLUMN instance_name TEXT;
  ALTER TABLE nodes ADD COLUMN allocation_uuid TEXT;
  ALTER TABLE nodes ADD COLUMN provision_updated_at INTEGER;
  ALTER TABLE nodes ADD COLUMN inspection_started_at INTEGER;
  ALTER TABLE nodes ADD COLUMN inspection_finished_at INTEGER;
  ALTER TABLE nodes ADD COLUMN vifs TEXT;
  ALTER TABLE nodes ADD COLUMN drive_id TEXT;
  ALTER TABLE nodes ADD COLUMN last_error TEXT;
  ALTER TABLE nodes ADD COLUMN maintenance_reason TEXT;
  ALTER TABLE nodes ADD COLUMN description TEXT;
  ALTER TABLE nodes ADD COLUMN sealed TEXT;
  ALTER TABLE nodes ADD COLUMN body TEXT NOT NULL DEFAULT '';
  UPDATE nodes SET body = (SELECT before.body FROM bodies_before AS before WHERE before.uuid = nodes.uuid);
  UPDATE nodes SET owner = json_extract(body, '$.owner'),
     lessee = json_extract(body, '$.lessee') WHERE json_valid(body);
  CREATE INDEX nodes_by_owner ON nodes (owner);
  CREATE INDEX nodes_by_lessee ON nodes (lessee);
  CREATE INDEX nodes_by_shard ON nodes (shard);
  CREATE INDEX nodes_by_class ON nodes (resource_class);
  CREATE INDEX nodes_by_parent ON nodes (parent_node);
  CREATE INDEX nodes_by_chassis ON nodes (chassis_uuid);
  CREATE INDEX nodes_by_group ON nodes (conductor_group);
  DELETE FROM bodies_before;
  INSERT INTO bodies_before SELECT uuid, body FROM ports;
  ALTER TABLE ports DROP COLUMN body;
  ALTER TABLE ports ADD COLUMN portgroup_uuid TEXT;
  ALTER TABLE ports ADD COLUMN pxe_enabled INTEGER;
  ALTER TABLE ports ADD COLUMN physical_network TEXT;
  ALTER TABLE ports ADD COLUMN is_smartnic INTEGER;
  -- The address that extra/ipv4_address fixes, and the one that DHCP gave.
  ALTER TABLE ports ADD COLUMN fixed_ip TEXT;
  ALTER TABLE ports ADD COLUMN learned_ip TEXT;
  ALTER TABLE ports ADD COLUMN description TEXT;
  ALTER TABLE ports ADD COLUMN body TEXT NOT NULL DEFAULT '';
  UPDATE ports SET body = (SELECT before.body FROM bodies_before AS before WHERE before.uuid = ports.uuid);
  UPDATE ports SET
    portgroup_uuid = json_extract(body, '$.portgroupUuid'),
    pxe_enabled = CAST(json_extract(body, '$.pxeEnabled') AS INTEGER),
    physical_network = json_extract(body, '$.physicalNetwork'),
    is_smartnic = CAST(json_extract(body, '$.isSmartnic') AS INTEGER),
    fixed_ip = json_extract(body, '$.extra.ipv4_address'),
    learned_ip = json_extract(body, '$.internalInfo.ipv4_address'),
    description = json_extract(body, '$.description')
    WHERE json_valid(body);
  CREATE INDEX ports_by_portgroup ON ports (portgroup_uuid);
  CREATE INDEX ports_by_fixed_ip ON ports (fixed_ip);
  CREATE INDEX ports_by_learned_ip ON ports (learned_ip);
  DROP TABLE bodies_before;
  -- What lists of objects filter and sort by, as one small document.
  CREATE TABLE objects_before (id INTEGER PRIMARY KEY, body TEXT NOT NULL);
  INSERT INTO objects_before SELECT id, body FROM objects;
  ALTER TABLE objects DROP COLUMN body;
  ALTER TABLE objects ADD COLUMN fields TEXT NOT NULL DEFAULT '{}';
  ALTER TABLE objects ADD COLUMN body TEXT NOT NULL DEFAULT '';
  UPDATE objects SET body = (SELECT before.body FROM objects_before AS before WHERE before.id = objects.id);
  UPDATE objects SET fields = json_object(
    'address', json_extract(body, '$.address'), 'description', json_extract(body, '$.description'),
    'state', json_extract(body, '$.state'),
    'resource_class', json_extract(body, '$.resource_class'), 'owner', json_extract(body, '$.owner'),
    'type', json_extract(body, '$.type'),
    'connector_id', json_extract(body, '$.connector_id'), 'volume_type', json_extract(body, '$.volume_type'),
    'volume_id', json_extract(body, '$.volume_id'),
    'boot_index', json_extract(body, '$.boot_index'), 'priority', json_extract(body, '$.priority'),
    'phase', json_extract(body, '$.phase'),
    'mode', json_extract(body, '$.mode'), 'public', json_extract(body, '$.public'),
    'physical_network', json_extract(body, '$.physical_network'))
    WHERE json_valid(body);
  DROP TABLE objects_before;
  -- Config drives, in sealed pieces.
  CREATE TABLE config_drives (
    id TEXT NOT NULL,
    piece INTEGER NOT NULL,
    node_uuid TEXT NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (id, piece)
  ) STRICT;
  CREATE INDEX config_drives_by_node ON config_drives (node_uuid);
  CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
  -- The kind stands in the index: the history of a node does not read the events that it leaves out.
  DROP INDEX events_by_node;
  CREATE INDEX events_by_node ON events (node_uuid, seq, kind);
  `,
  `
  -- Sealed secrets of objects; NULL: of a program that kept them in the body, rewritten when the database is opened.
  ALTER TABLE objects ADD COLUMN sealed TEXT;
  `,
  `
  -- Most rows have nothing in these columns: an index that leaves them out costs no page when they are written.
  DROP INDEX nodes_by_owner;
  DROP INDEX nodes_by_lessee;
  DROP INDEX nodes_by_shard;
  DROP INDEX nodes_by_class;
  DROP INDEX nodes_by_parent;
  DROP INDEX nodes_by_chassis;
  CREATE INDEX nodes_by_owner ON nodes (owner) WHERE owner IS NOT NULL;
  CREATE INDEX nodes_by_lessee ON nodes (lessee) WHERE lessee IS NOT NULL;
  CREATE INDEX nodes_by_shard ON nodes (shard) WHERE shard IS NOT NULL;
  CREATE INDEX nodes_by_class ON nodes (resource_class) WHERE resource_class IS NOT NULL;
  CREATE INDEX nodes_by_parent ON nodes (parent_node) WHERE parent_node IS NOT NULL;
  CREATE INDEX nodes_by_chassis ON nodes (chassis_uuid) WHERE chassis_uuid IS NOT NULL;
  DROP INDEX ports_by_name;
  DROP INDEX ports_by_portgroup;
  DROP INDEX ports_by_fixed_ip;
  DROP INDEX ports_by_learned_ip;
  CREATE UNIQUE INDEX ports_by_name ON ports (name) WHERE name IS NOT NULL;
  CREATE INDEX ports_by_portgroup ON ports (portgroup_uuid) WHERE portgroup_uuid IS NOT NULL;
  CREATE INDEX ports_by_fixed_ip ON ports (fixed_ip) WHERE fixed_ip IS NOT NULL;
  CREATE INDEX ports_by_learned_ip ON ports (learned_ip) WHERE learned_ip IS NOT NULL;
  `,
  `
  -- The first event that the owner and the lessee of a node may see: what happened before was somebody else's.
  ALTER TABLE nodes ADD COLUMN owner_seq INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE nodes ADD COLUMN lessee_seq INTEGER NOT NULL DEFAULT 0;
  -- The spelling of addresses of BMCs has changed: short forms of IPv4, and numbers of bridges.
  UPDATE nodes SET bmc = bmc_address(driver, json_extract(body, '$.driverInfo'))
     WHERE bmc IS NOT NULL AND json_valid(body);
  `,
  `
  -- What was read of a node through its BMC, as one document of each kind: BIOS settings, firmware.
  CREATE TABLE hardware_documents (
    node_uuid TEXT NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (node_uuid, kind)
  ) STRICT;
  `,
  `
  -- What was seen of the card of a port: its model, its switch port, its loader. Of another card when the address is not that of the port.
  CREATE TABLE port_sightings (
    port_uuid TEXT NOT NULL REFERENCES ports (uuid) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    address TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (port_uuid, kind)
  ) STRICT;
  CREATE INDEX port_sightings_by_address ON port_sightings (address);
  `,
  SORT_INDEXES,
  NODE_COUNTS,
  NODE_VIFS,
  `
  -- When something is due although nothing happens: those are asked for every second.
  ALTER TABLE nodes ADD COLUMN due_at INTEGER;
  -- Times in old records may have fractions, which a column of integers refuses.
  UPDATE nodes SET due_at = CAST(CASE
    WHEN coalesce(json_extract(body, '$.workflow.phase'),
      json_extract(body, '$.machine.phase')) IN ('bmc', 'firmware-mode')
    THEN coalesce(json_extract(body, '$.workflow.bmcTask.lookAtMs'), json_extract(body, '$.machine.bmcTask.lookAtMs'))
    ELSE coalesce(json_extract(body, '$.workflow.deadlineMs'),
      json_extract(body, '$.machine.deadlineMs')) END AS INTEGER)
    WHERE json_valid(body);
  CREATE INDEX nodes_by_due_at ON nodes (due_at, uuid) WHERE due_at IS NOT NULL;
  `,
]
