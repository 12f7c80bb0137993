-- What hbctl runs: the schema's versions, the members' roles.

-- name: units_member_state
SELECT @@GLOBAL.read_only, @@GLOBAL.gtid_binlog_pos, @@GLOBAL.gtid_slave_pos, @@GLOBAL.rpl_semi_sync_master_enabled,
(SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'RPL_SEMI_SYNC_MASTER_CLIENTS'),
@@GLOBAL.rpl_semi_sync_slave_enabled AND @@GLOBAL.rpl_semi_sync_slave_trace_level = 33,
@@GLOBAL.rpl_semi_sync_slave_trace_level = 34;

-- name: units_slave_status
SHOW SLAVE STATUS;

-- One at a time changes the role of a server. Longer than the longest step of whoever has it would wait.
-- name: units_role_lock
SELECT GET_LOCK('hongbao.role', 3);

-- A session with the lock is idle for as long as fencing and the other members take, which is less. One whose host is gone would keep it
-- for the server's eight hours.
-- name: units_role_lock_ends
SET SESSION wait_timeout = 60;

-- However often the session has taken it.
-- name: units_role_unlock
SELECT RELEASE_ALL_LOCKS();

-- name: units_semi_sync_master_on
SET GLOBAL rpl_semi_sync_master_enabled = ON;

-- name: units_semi_sync_master_off
SET GLOBAL rpl_semi_sync_master_enabled = OFF;

-- name: units_semi_sync_slave_on
SET GLOBAL rpl_semi_sync_slave_enabled = ON;

-- A server forgets this when it is started (32): whether it still has all that it ever acknowledged; or that it is a replica
-- that waits to be readmitted.
-- name: units_semi_sync_slave_kept
SET GLOBAL rpl_semi_sync_slave_trace_level = 33;

-- name: units_semi_sync_slave_anew
SET GLOBAL rpl_semi_sync_slave_trace_level = 32;

-- name: units_stands_by
SET GLOBAL rpl_semi_sync_slave_trace_level = 34;

-- name: units_semi_sync_slave_off
SET GLOBAL rpl_semi_sync_slave_enabled = OFF;

-- name: units_semi_sync_kill_wait
SET GLOBAL rpl_semi_sync_slave_kill_conn_timeout = 1;

-- name: units_slave_start
START SLAVE;

-- name: units_flush_engines
FLUSH LOCAL ENGINE LOGS;

-- name: units_slave_stop
STOP SLAVE;

-- name: units_slave_pos_own
SET GLOBAL gtid_slave_pos = @@GLOBAL.gtid_binlog_pos;

-- name: units_slave_reset
RESET SLAVE ALL;

-- name: units_receive_stop
STOP SLAVE IO_THREAD;

-- name: units_receive_start
START SLAVE IO_THREAD;

-- name: units_read_only
SET GLOBAL read_only = ON;

-- Commits that wait for an acknowledgement hold it up: it gives up, and nothing has changed.
-- name: units_read_only_bound
SET SESSION lock_wait_timeout = 2;

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

-- name: units_epoch_number
SELECT epoch FROM cell_epoch WHERE one = 1;

-- name: units_epoch_raise
UPDATE cell_epoch SET epoch = ? WHERE one = 1 AND epoch < ?;

-- Something that is written whatever was there before. The time stays that of the worker's own last beat.
-- name: units_beat
UPDATE heartbeat SET beat = beat + 1 WHERE one = 1;

-- Up to a bound, beyond which the figure would cost too much.
-- name: units_outbox_rows
SELECT COUNT(*) FROM (SELECT 1 FROM outbox LIMIT 100000) some;

-- For hbctl doctor. All of them: which matter stands in units/doctor_servers.c.
-- name: units_settings
SELECT VARIABLE_NAME, VARIABLE_VALUE FROM information_schema.GLOBAL_VARIABLES LIMIT 5000;

-- The server's own last, as that of nobody.
-- name: units_connections
SELECT User, max_user_connections FROM mysql.user WHERE User LIKE 'hb\_%' UNION ALL SELECT '', @@GLOBAL.max_connections LIMIT 100;

-- name: units_clock
SELECT CAST(UNIX_TIMESTAMP(CURRENT_TIMESTAMP(6)) * 1000 AS SIGNED);

-- name: units_server_version
SELECT VERSION();
