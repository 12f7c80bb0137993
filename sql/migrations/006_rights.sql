-- Who may do what: each program's user has what its own statements need, and none of them may change a table (but hb_age, for
-- the partitions of three). A migration that makes a table also says who may use it.
GRANT SELECT ON cell_epoch TO hb_core;
GRANT SELECT, UPDATE ON id_block TO hb_core;
GRANT SELECT, INSERT, DELETE ON user_seed TO hb_core;
GRANT SELECT, INSERT, UPDATE ON packet TO hb_core;
GRANT SELECT, INSERT ON invited TO hb_core;
GRANT SELECT, INSERT ON claim TO hb_core;
GRANT SELECT, INSERT ON idempotency TO hb_core;
GRANT SELECT, INSERT, UPDATE ON payment TO hb_core;
GRANT SELECT ON transfer TO hb_core;
GRANT SELECT ON refund TO hb_core;
GRANT INSERT ON outbox TO hb_core;
GRANT SELECT, INSERT ON finance_event TO hb_core;
GRANT SELECT ON campaign TO hb_core;
GRANT SELECT ON budget_lease TO hb_core;
GRANT SELECT, INSERT, UPDATE ON tracking TO hb_core;
GRANT SELECT, INSERT, UPDATE ON subsidy TO hb_core;
GRANT SELECT, INSERT, UPDATE ON account TO hb_core;
GRANT SELECT, INSERT, DELETE ON ledger TO hb_core;
GRANT SELECT, INSERT ON withdrawal TO hb_core;
GRANT SELECT ON age_mark TO hb_core;
GRANT SELECT ON packet_left TO hb_core;

GRANT SELECT ON heartbeat TO hb_query;
GRANT SELECT ON packet TO hb_query;
GRANT SELECT ON claim TO hb_query;
GRANT SELECT ON payment TO hb_query;
GRANT SELECT ON transfer TO hb_query;
GRANT SELECT ON received TO hb_query;
GRANT SELECT ON campaign TO hb_query;
GRANT SELECT ON subsidy TO hb_query;
GRANT SELECT ON account TO hb_query;
GRANT SELECT ON ledger TO hb_query;
GRANT SELECT ON withdrawal TO hb_query;
GRANT SELECT ON packet_left TO hb_query;

GRANT SELECT ON campaign TO hb_rain;
GRANT SELECT ON cell_epoch TO hb_rain;
GRANT SELECT, INSERT, UPDATE ON account TO hb_rain;
GRANT SELECT, INSERT, DELETE ON ledger TO hb_rain;
GRANT SELECT, INSERT ON budget_lease TO hb_rain;
GRANT SELECT, UPDATE ON id_block TO hb_rain;

GRANT SELECT ON cell_epoch TO hb_worker;
GRANT SELECT, UPDATE ON heartbeat TO hb_worker;
GRANT SELECT, UPDATE ON id_block TO hb_worker;
GRANT SELECT, UPDATE ON packet TO hb_worker;
GRANT SELECT ON claim TO hb_worker;
GRANT SELECT, UPDATE ON payment TO hb_worker;
GRANT SELECT, INSERT, UPDATE ON transfer TO hb_worker;
GRANT SELECT, INSERT, UPDATE ON refund TO hb_worker;
GRANT SELECT, INSERT, UPDATE ON received TO hb_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON outbox TO hb_worker;
GRANT SELECT, UPDATE ON finance_event TO hb_worker;
GRANT SELECT, INSERT ON parked TO hb_worker;
GRANT SELECT ON campaign TO hb_worker;
GRANT SELECT, UPDATE ON budget_lease TO hb_worker;
GRANT SELECT, INSERT, UPDATE ON tracking TO hb_worker;
GRANT SELECT, INSERT, UPDATE ON subsidy TO hb_worker;
GRANT SELECT, INSERT, UPDATE ON account TO hb_worker;
GRANT SELECT, INSERT, DELETE ON ledger TO hb_worker;
GRANT SELECT, UPDATE ON withdrawal TO hb_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON alert TO hb_worker;
GRANT SELECT, INSERT, UPDATE ON recon_run TO hb_worker;
GRANT SELECT, INSERT, UPDATE ON recon_diff TO hb_worker;
GRANT SELECT ON packet_left TO hb_worker;

GRANT SELECT, ALTER, DROP ON packet TO hb_age;
GRANT SELECT, ALTER, DROP ON claim TO hb_age;
GRANT SELECT, ALTER, DROP ON invited TO hb_age;
GRANT SELECT ON payment TO hb_age;
GRANT SELECT ON transfer TO hb_age;
GRANT SELECT ON refund TO hb_age;
GRANT SELECT ON outbox TO hb_age;
GRANT SELECT ON cell_epoch TO hb_age;
GRANT SELECT, UPDATE ON id_block TO hb_age;
GRANT SELECT, INSERT, UPDATE ON age_range TO hb_age;
GRANT SELECT, UPDATE ON age_mark TO hb_age;
GRANT SELECT, INSERT, UPDATE ON packet_left TO hb_age;
GRANT SELECT, INSERT, UPDATE ON alert TO hb_age;

-- What some of them had on the whole database before. Given once more first, as there may be nothing to take.
GRANT SELECT, INSERT, UPDATE, DELETE ON * TO hb_core;
GRANT SELECT, INSERT, UPDATE, DELETE ON * TO hb_query;
GRANT SELECT, INSERT, UPDATE, DELETE ON * TO hb_worker;
REVOKE SELECT, INSERT, UPDATE, DELETE ON * FROM hb_core;
REVOKE SELECT, INSERT, UPDATE, DELETE ON * FROM hb_query;
REVOKE SELECT, INSERT, UPDATE, DELETE ON * FROM hb_worker;
