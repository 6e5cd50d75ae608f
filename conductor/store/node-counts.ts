/** A step of the schema: how many nodes there are of each kind, counted by triggers. Like every step it is never
 *  changed. */

export const NODE_COUNTS = `
  -- How many nodes there are of each kind that metrics tell apart, kept with every change: to be asked costs the same for ten nodes and for fifty thousand.
  CREATE TABLE node_counts (
    provision_state TEXT NOT NULL,
    -- Empty: not known.
    power_state TEXT NOT NULL,
    maintenance INTEGER NOT NULL,
    nodes INTEGER NOT NULL,
    PRIMARY KEY (provision_state, power_state, maintenance)
  ) STRICT, WITHOUT ROWID;
  INSERT INTO node_counts SELECT provision_state, coalesce(power_state, ''), maintenance, count(*) FROM nodes GROUP BY 1, 2, 3;
  CREATE TRIGGER nodes_count_added AFTER INSERT ON nodes BEGIN
    INSERT INTO node_counts VALUES (NEW.provision_state, coalesce(NEW.power_state, ''), NEW.maintenance, 1)
      ON CONFLICT DO UPDATE SET nodes = nodes + 1;
  END;
  CREATE TRIGGER nodes_count_removed AFTER DELETE ON nodes BEGIN
    UPDATE node_counts SET nodes = nodes - 1
      WHERE provision_state = OLD.provision_state AND power_state = coalesce(OLD.power_state, '') AND maintenance = OLD.maintenance;
  END;
  CREATE TRIGGER nodes_count_moved AFTER UPDATE OF provision_state, power_state, maintenance ON nodes BEGIN
    UPDATE node_counts SET nodes = nodes - 1
      WHERE provision_state = OLD.provision_state AND power_state = coalesce(OLD.power_state, '') AND maintenance = OLD.maintenance;
    INSERT INTO node_counts VALUES (NEW.provision_state, coalesce(NEW.power_state, ''), NEW.maintenance, 1)
      ON CONFLICT DO UPDATE SET nodes = nodes + 1;
  END;
`
