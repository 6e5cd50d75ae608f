/** The schema, one step per entry. A step that was published is never changed; a new one is added. */

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
  UPDATE nodes SET bmc = bmc_address(driver, json_extract(body, '$.driverInfo'));
  CREATE INDEX nodes_by_bmc ON nodes (bmc) WHERE bmc IS NOT NULL;
  `,
  `
  -- A change of one of these is refused when another came in between.
  ALTER TABLE objects ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE ports ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
  `,
]
