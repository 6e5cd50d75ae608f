/** A step of the schema: which nodes a VIF is attached to, kept by triggers. Like every step it is never changed. */

const VALUES_OF = (row: 'NEW' | 'OLD') => `json_each(iif(json_valid(${row}.vifs), ${row}.vifs, '[]'))`
const ADD = `INSERT OR IGNORE INTO node_vifs SELECT value, NEW.id FROM ${VALUES_OF('NEW')} WHERE value IS NOT NULL`
const REMOVE = `DELETE FROM node_vifs WHERE node_id = OLD.id AND vif IN (SELECT value FROM ${VALUES_OF('OLD')})`

export const NODE_VIFS = `
  -- Nodes by the VIFs that are attached to them: to ask for one reads its rows, and not all nodes.
  CREATE TABLE node_vifs (
    vif TEXT NOT NULL,
    node_id INTEGER NOT NULL,
    PRIMARY KEY (vif, node_id)
  ) STRICT, WITHOUT ROWID;
  INSERT OR IGNORE INTO node_vifs
    SELECT v.value, nodes.id FROM nodes, json_each(iif(json_valid(nodes.vifs), nodes.vifs, '[]')) AS v WHERE v.value IS NOT NULL;
  CREATE TRIGGER nodes_vifs_added AFTER INSERT ON nodes WHEN NEW.vifs <> '[]' BEGIN
    ${ADD};
  END;
  CREATE TRIGGER nodes_vifs_removed AFTER DELETE ON nodes WHEN OLD.vifs <> '[]' BEGIN
    ${REMOVE};
  END;
  CREATE TRIGGER nodes_vifs_changed AFTER UPDATE OF vifs ON nodes WHEN NEW.vifs IS NOT OLD.vifs BEGIN
    ${REMOVE};
    ${ADD};
  END;
`
