/** The schema in PostgreSQL, one step per entry. A step that was published is never changed; a new one is added. What
 *  goes is first left alone by one release (expand, move, contract), so that two releases can run side by side. */

export interface Step {
  readonly sql: string
  /** The oldest program, by the number of steps that it knows, that can still work after this step. */
  readonly oldest: number
}

/** Sorted by their bytes, as everywhere else. */
const TEXT = 'text COLLATE "C"'

const NODES = `
CREATE TABLE nodes (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  uuid ${TEXT} NOT NULL CONSTRAINT nodes__uuid UNIQUE,
  name ${TEXT} CONSTRAINT nodes__name UNIQUE,
  instance_uuid ${TEXT} CONSTRAINT nodes__instance_uuid UNIQUE,
  version bigint NOT NULL,
  provision_state ${TEXT} NOT NULL,
  power_state ${TEXT},
  target_power_state ${TEXT},
  maintenance smallint NOT NULL,
  protected smallint,
  retired smallint,
  automated_clean smallint,
  driver ${TEXT} NOT NULL,
  resource_class ${TEXT},
  parent_node ${TEXT},
  owner ${TEXT},
  lessee ${TEXT},
  shard ${TEXT},
  conductor_group ${TEXT},
  chassis_uuid ${TEXT},
  fault ${TEXT},
  instance_name ${TEXT},
  allocation_uuid ${TEXT},
  created_at bigint NOT NULL,
  updated_at bigint,
  provision_updated_at bigint,
  inspection_started_at bigint,
  inspection_finished_at bigint,
  vifs text,
  drive_id text,
  last_error ${TEXT},
  maintenance_reason ${TEXT},
  description ${TEXT},
  bmc text,
  -- As bmc, but for nodes that shared one before it was checked.
  bmc_claim text CONSTRAINT nodes__bmc UNIQUE,
  -- 0: an effect is pending.
  due_at bigint,
  -- The first event that the owner and the lessee may see, by its raw number.
  owner_raw bigint NOT NULL,
  lessee_raw bigint NOT NULL,
  sealed text NOT NULL,
  body text NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX nodes_by_bmc ON nodes (bmc) WHERE bmc IS NOT NULL;
CREATE INDEX nodes_by_due_at ON nodes (due_at, uuid) WHERE due_at IS NOT NULL;
CREATE INDEX nodes_by_state ON nodes (provision_state NULLS FIRST, id);
CREATE INDEX nodes_by_kind ON nodes (provision_state, power_state, maintenance);
CREATE INDEX nodes_by_created_at ON nodes (created_at NULLS FIRST, id);
CREATE INDEX nodes_by_sorted_name ON nodes (name NULLS FIRST, id);
CREATE INDEX nodes_by_driver ON nodes (driver NULLS FIRST, id);
CREATE INDEX nodes_by_conductor_group ON nodes (conductor_group NULLS FIRST, id);
CREATE INDEX nodes_by_resource_class ON nodes (resource_class NULLS FIRST, id);
CREATE INDEX nodes_by_owner ON nodes (owner, id) WHERE owner IS NOT NULL;
CREATE INDEX nodes_by_lessee ON nodes (lessee, id) WHERE lessee IS NOT NULL;
CREATE INDEX nodes_by_shard ON nodes (shard, id) WHERE shard IS NOT NULL;
CREATE INDEX nodes_by_parent ON nodes (parent_node, id) WHERE parent_node IS NOT NULL;
CREATE INDEX nodes_by_chassis ON nodes (chassis_uuid, id) WHERE chassis_uuid IS NOT NULL;
CREATE INDEX nodes_by_fault ON nodes (fault, id) WHERE fault IS NOT NULL;`

const PORTS = `
CREATE TABLE ports (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  uuid ${TEXT} NOT NULL CONSTRAINT ports__uuid UNIQUE,
  address ${TEXT} NOT NULL CONSTRAINT ports__address UNIQUE,
  name ${TEXT} CONSTRAINT ports__name UNIQUE,
  node_uuid ${TEXT} NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE,
  version bigint NOT NULL,
  created_at bigint NOT NULL,
  updated_at bigint,
  portgroup_uuid ${TEXT},
  pxe_enabled smallint,
  physical_network ${TEXT},
  is_smartnic smallint,
  fixed_ip text,
  learned_ip text,
  description ${TEXT},
  body text NOT NULL
);
CREATE INDEX ports_by_node ON ports (node_uuid NULLS FIRST, id);
CREATE INDEX ports_by_created_at ON ports (created_at NULLS FIRST, id);
CREATE INDEX ports_by_portgroup ON ports (portgroup_uuid, id) WHERE portgroup_uuid IS NOT NULL;
CREATE INDEX ports_by_fixed_ip ON ports (fixed_ip) WHERE fixed_ip IS NOT NULL;
CREATE INDEX ports_by_learned_ip ON ports (learned_ip) WHERE learned_ip IS NOT NULL;
CREATE TABLE port_sightings (
  port_uuid text COLLATE "C" NOT NULL REFERENCES ports (uuid) ON DELETE CASCADE,
  kind text NOT NULL,
  address text NOT NULL,
  body text NOT NULL,
  PRIMARY KEY (port_uuid, kind)
);`

const OBJECTS = `
CREATE TABLE objects (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind ${TEXT} NOT NULL,
  uuid ${TEXT} NOT NULL,
  name ${TEXT},
  node_uuid ${TEXT} REFERENCES nodes (uuid) ON DELETE CASCADE,
  unique_key ${TEXT},
  version bigint NOT NULL,
  created_at bigint NOT NULL,
  updated_at bigint,
  address ${TEXT},
  description ${TEXT},
  state ${TEXT},
  resource_class ${TEXT},
  owner ${TEXT},
  type ${TEXT},
  connector_id ${TEXT},
  volume_type ${TEXT},
  volume_id ${TEXT},
  boot_index bigint,
  priority bigint,
  phase ${TEXT},
  mode ${TEXT},
  public smallint,
  physical_network ${TEXT},
  sealed text,
  body text NOT NULL,
  CONSTRAINT objects__uuid UNIQUE (kind, uuid),
  CONSTRAINT objects__name UNIQUE (kind, name),
  CONSTRAINT objects__unique_key UNIQUE (kind, unique_key)
);
CREATE INDEX objects_by_kind ON objects (kind, id);
CREATE INDEX objects_by_kind_name ON objects (kind, name NULLS FIRST, id);
CREATE INDEX objects_by_node ON objects (node_uuid, kind, id) WHERE node_uuid IS NOT NULL;`

const SMALL = `
CREATE TABLE inventories (
  node_uuid text COLLATE "C" PRIMARY KEY REFERENCES nodes (uuid) ON DELETE CASCADE,
  body text NOT NULL
);
CREATE TABLE hardware_documents (
  node_uuid text COLLATE "C" NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE,
  kind text NOT NULL,
  body text NOT NULL,
  PRIMARY KEY (node_uuid, kind)
);
CREATE TABLE config_drives (
  id text NOT NULL,
  piece integer NOT NULL,
  node_uuid text NOT NULL,
  bytes bytea NOT NULL,
  PRIMARY KEY (id, piece)
);
CREATE INDEX config_drives_by_node ON config_drives (node_uuid);
CREATE TABLE conductors (hostname text COLLATE "C" PRIMARY KEY, alive_at bigint NOT NULL, body text NOT NULL);
CREATE TABLE meta (name text PRIMARY KEY, value text NOT NULL);
CREATE TABLE cursors (name text PRIMARY KEY, seq bigint NOT NULL);`

const EVENTS = `
-- A row gets its number after it was committed: a reader that follows the numbers misses none.
CREATE TABLE events (
  raw bigint GENERATED BY DEFAULT AS IDENTITY (SEQUENCE NAME events_raw) PRIMARY KEY,
  seq bigint,
  at bigint NOT NULL,
  node_uuid text COLLATE "C",
  kind text COLLATE "C" NOT NULL,
  detail text NOT NULL
);
CREATE UNIQUE INDEX events_by_seq ON events (seq) WHERE seq IS NOT NULL;
CREATE INDEX events_without_seq ON events (raw) WHERE seq IS NULL;
CREATE INDEX events_by_node ON events (node_uuid, seq) WHERE seq IS NOT NULL;
CREATE INDEX events_by_kind ON events (kind, seq) WHERE seq IS NOT NULL;
CREATE INDEX events_by_time ON events (at) WHERE seq IS NOT NULL;
CREATE TABLE event_counter (last bigint NOT NULL);
INSERT INTO event_counter VALUES (0);
CREATE TABLE durations (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  model text NOT NULL,
  state text NOT NULL,
  took_ms bigint NOT NULL
);
CREATE INDEX durations_by_model ON durations (model, state, id);
-- Numbers what is committed, in one statement of whoever calls it: nobody can stop in the middle. Who waited for the
-- lock sees what the other one left, because each statement of a function has a snapshot of its own.
CREATE FUNCTION number_events(most integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  numbered bigint;
  added bigint;
BEGIN
  IF NOT EXISTS (SELECT 1 FROM events WHERE seq IS NULL) THEN
    RETURN (SELECT last FROM event_counter);
  END IF;
  SELECT last INTO numbered FROM event_counter FOR UPDATE;
  WITH fresh AS (
    SELECT raw, row_number() OVER (ORDER BY raw) AS place
    FROM (SELECT raw FROM events WHERE seq IS NULL ORDER BY raw LIMIT most) AS oldest
  )
  UPDATE events SET seq = numbered + fresh.place FROM fresh WHERE events.raw = fresh.raw;
  GET DIAGNOSTICS added = ROW_COUNT;
  IF added > 0 THEN
    UPDATE event_counter SET last = numbered + added;
    PERFORM pg_notify('rackward_events', (numbered + added)::text);
  END IF;
  RETURN numbered + added;
END $$;`

const LEASES = `
CREATE TABLE leases (
  name text PRIMARY KEY,
  owner text,
  token bigint NOT NULL DEFAULT 0,
  until timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO leases (name) VALUES ('conductor');
-- A change of a conductor whose lease another one has taken is undone as a whole.
CREATE FUNCTION check_lease(held bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM leases WHERE name = 'conductor' AND token = held;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the lease is held by another conductor' USING ERRCODE = 'RW001';
  END IF;
  RETURN true;
END $$;`

const VIFS = `
-- Nodes by the VIFs that are attached to them: to ask for one does not read all nodes, and one without VIFs costs
-- nothing when it is written.
CREATE INDEX nodes_by_vif ON nodes USING gin ((vifs::jsonb) jsonb_path_ops) WHERE vifs <> '[]';`

const SLOTS = `
-- Computed here: rows of programs that do not know the column have it too. As in slot.ts.
ALTER TABLE nodes ADD COLUMN slot smallint GENERATED ALWAYS AS (get_byte(sha256(uuid::bytea), 0) % 64) STORED;
CREATE INDEX nodes_by_slot ON nodes (conductor_group, slot);
CREATE TABLE slots (
  grp ${TEXT} NOT NULL,
  id smallint NOT NULL,
  owner text,
  token bigint NOT NULL DEFAULT 0,
  until timestamptz NOT NULL DEFAULT '-infinity',
  PRIMARY KEY (grp, id)
);
-- Conductors that share the nodes: living ones by the clock of the server.
CREATE TABLE members (
  owner text PRIMARY KEY,
  hostname text NOT NULL,
  grp ${TEXT} NOT NULL,
  until timestamptz NOT NULL
);
-- What the owner of a slot writes is undone as a whole when another one has the slot, or a conductor that shares with
-- nobody has the database.
CREATE FUNCTION check_slot(of_group text, of_id integer, held bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM slots, leases WHERE slots.grp = of_group AND slots.id = of_id AND slots.token = held
    AND leases.name = 'conductor' AND leases.owner = 'slots';
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the slot is held by another conductor' USING ERRCODE = 'RW001';
  END IF;
  RETURN true;
END $$;`

const BMC_SESSIONS = `
-- In which session with a BMC a command is sent, before it is: whoever takes the node over ends that session first.
CREATE TABLE bmc_sessions (
  node_uuid ${TEXT} NOT NULL,
  place text NOT NULL,
  name text NOT NULL,
  grp ${TEXT} NOT NULL,
  slot smallint NOT NULL,
  token bigint NOT NULL,
  until timestamptz NOT NULL,
  PRIMARY KEY (node_uuid, place, name)
);
CREATE INDEX bmc_sessions_by_slot ON bmc_sessions (grp, slot);
CREATE INDEX bmc_sessions_by_end ON bmc_sessions (until);`

export const STEPS: readonly Step[] = [
  { oldest: 1, sql: [NODES, PORTS, OBJECTS, SMALL, EVENTS, LEASES].join('\n') },
  { oldest: 1, sql: VIFS },
  { oldest: 1, sql: SLOTS },
  { oldest: 1, sql: BMC_SESSIONS },
]
