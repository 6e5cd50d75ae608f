/** A step of the schema: an index for everything that lists are sorted by. Like every step it is never changed. */

export const SORT_INDEXES = `
  -- An index for everything that lists are sorted by, rows without a value included: a page reads its own rows and not the table.
  DROP INDEX nodes_by_owner;
  DROP INDEX nodes_by_lessee;
  DROP INDEX nodes_by_shard;
  DROP INDEX nodes_by_class;
  DROP INDEX nodes_by_parent;
  DROP INDEX nodes_by_chassis;
  ${[
    'owner lessee shard resource_class parent_node chassis_uuid created_at updated_at maintenance driver power_state target_power_state fault protected retired',
    'automated_clean instance_name allocation_uuid provision_updated_at inspection_started_at inspection_finished_at last_error maintenance_reason description',
  ]
    .flatMap((names) => names.split(' '))
    .map((name) => `CREATE INDEX nodes_by_${name} ON nodes (${name});`)
    .join('\n  ')}
  DROP INDEX ports_by_name;
  DROP INDEX ports_by_portgroup;
  CREATE UNIQUE INDEX ports_by_name ON ports (name);
  ${'created_at updated_at pxe_enabled physical_network portgroup_uuid is_smartnic description'
    .split(' ')
    .map((name) => `CREATE INDEX ports_by_${name} ON ports (${name});`)
    .join('\n  ')}
  CREATE INDEX objects_by_kind ON objects (kind);
  CREATE INDEX objects_by_kind_node_uuid ON objects (kind, node_uuid);
  CREATE INDEX objects_by_kind_created_at ON objects (kind, created_at);
  CREATE INDEX objects_by_kind_updated_at ON objects (kind, updated_at);
  ${[
    'address description state resource_class owner type connector_id volume_type volume_id boot_index priority phase',
    'mode public physical_network',
  ]
    .flatMap((names) => names.split(' '))
    .map(
      (name) =>
        `CREATE INDEX objects_by_kind_${name} ON objects (kind, iif(json_valid(fields), json_extract(fields, '$.${name}'), NULL));`,
    )
    .join('\n  ')}
`
