-- Campaigns and the leases of their budget: hbctl campaign, hb-rain.

-- name: campaign_lock
SELECT name, version, budget, config FROM campaign WHERE number = ? FOR UPDATE;

-- name: campaign_insert
INSERT INTO campaign (number, name, version, budget, config, applied_at) VALUES (?, ?, ?, ?, ?, ?);

-- name: campaign_update
UPDATE campaign SET version = ?, budget = ?, config = ?, applied_at = ? WHERE number = ? AND version = ?;

-- name: campaign_all
SELECT number, name, version, budget, config, applied_at FROM campaign ORDER BY number LIMIT 64;

-- What of each campaign's budget is not leased or given.
-- name: campaign_balances
SELECT owner, balance FROM account WHERE kind = ? ORDER BY owner LIMIT 1000;

-- name: campaign_lease_insert
INSERT INTO budget_lease (lease_id, campaign, amount, holder, state, created_at, ends_at, settle_at, returned)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0);

-- name: campaign_lease_find
SELECT amount FROM budget_lease WHERE lease_id = ?;
