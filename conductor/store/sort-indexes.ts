/** A step of the schema: an index for everything that lists are sorted by. Like every step it is never changed. */

export const SORT_INDEXES = `
  -- An index for everything that lists are sorted by. Rows that have nothing in a column do not stand in its index: they cost no page when they are written.
  DROP INDEX nodes_by_class;
  DROP INDEX nodes_by_parent;
  DROP INDEX nodes_by_chassis;
  CREATE INDEX nodes_by_created_at ON nodes (created_at);
  CREATE INDEX nodes_by_driver ON nodes (driver);
  ${[
    'resource_class parent_node chassis_uuid updated_at power_state target_power_state fault automated_clean instance_name allocation_uuid provision_updated_at',
    'inspection_started_at inspection_finished_at last_error maintenance_reason description',
  ]
    .flatMap((names) => names.split(' '))
    .map((name) => `CREATE INDEX nodes_by_${name} ON nodes (${name}) WHERE ${name} IS NOT NULL;`)
    .join('\n  ')}
  ${['maintenance', 'protected', 'retired']
    .map((name) => `CREATE INDEX nodes_by_${name} ON nodes (nullif(${name}, 0)) WHERE nullif(${name}, 0) IS NOT NULL;`)
    .join('\n  ')}
  DROP INDEX ports_by_portgroup;
  CREATE INDEX ports_by_created_at ON ports (created_at);
  CREATE INDEX ports_by_pxe_enabled ON ports (pxe_enabled);
  CREATE INDEX ports_by_is_smartnic ON ports (nullif(is_smartnic, 0)) WHERE nullif(is_smartnic, 0) IS NOT NULL;
  ${'updated_at physical_network portgroup_uuid description'
    .split(' ')
    .map((name) => `CREATE INDEX ports_by_${name} ON ports (${name}) WHERE ${name} IS NOT NULL;`)
    .join('\n  ')}
  CREATE INDEX objects_by_kind ON objects (kind);
  CREATE INDEX objects_by_kind_created_at ON objects (kind, created_at);
  CREATE INDEX objects_by_kind_node_uuid ON objects (kind, node_uuid) WHERE node_uuid IS NOT NULL;
  CREATE INDEX objects_by_kind_updated_at ON objects (kind, updated_at) WHERE updated_at IS NOT NULL;
  ${[
    'address description state resource_class owner type connector_id volume_type volume_id boot_index priority phase',
    'mode public physical_network',
  ]
    .flatMap((names) => names.split(' '))
    .map((name) => [name, `iif(json_valid(fields), json_extract(fields, '$.${name}'), NULL)`] as const)
    .map(
      ([name, value]) => `CREATE INDEX objects_by_kind_${name} ON objects (kind, ${value}) WHERE ${value} IS NOT NULL;`,
    )
    .join('\n  ')}
`
