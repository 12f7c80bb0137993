-- What hbctl runs: the schema's versions, the members' roles.

-- name: units_member_state
SELECT @@GLOBAL.read_only, @@GLOBAL.gtid_binlog_pos, @@GLOBAL.gtid_slave_pos, @@GLOBAL.rpl_semi_sync_master_enabled,
(SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'RPL_SEMI_SYNC_MASTER_CLIENTS');

-- name: units_semi_sync_master_on
SET GLOBAL rpl_semi_sync_master_enabled = ON;

-- name: units_semi_sync_slave_on
SET GLOBAL rpl_semi_sync_slave_enabled = ON;

-- name: units_slave_start
START SLAVE;

-- name: units_slave_stop
STOP SLAVE;

-- name: units_writable
SET GLOBAL read_only = OFF;

-- name: units_schema_lock
SELECT GET_LOCK('hongbao.schema', 30);

-- name: units_schema_table
CREATE TABLE IF NOT EXISTS schema_version (
  version INT UNSIGNED NOT NULL PRIMARY KEY,
  name VARCHAR(100) NOT NULL,
  began_at BIGINT NOT NULL,
  ended_at BIGINT NULL
);

-- name: units_schema_version
SELECT ended_at IS NOT NULL FROM schema_version WHERE version = ?;

-- name: units_schema_begin
INSERT INTO schema_version (version, name, began_at) VALUES (?, ?, ?);

-- name: units_schema_end
UPDATE schema_version SET ended_at = ? WHERE version = ?;

-- name: units_epoch_insert
INSERT INTO cell_epoch (one, cell, epoch) SELECT 1, ?, ? FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM cell_epoch);

-- name: units_epoch
SELECT cell, epoch FROM cell_epoch WHERE one = 1;
