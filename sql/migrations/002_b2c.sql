-- Campaigns, subsidies, the ledger and withdrawals: what b2c needs (docs/architecture.md, "B2C"). Units as in 001.

-- The campaigns of this cell. `number` is what rows carry; it never changes for a name.
CREATE TABLE campaign (
  number INT UNSIGNED NOT NULL PRIMARY KEY,
  name VARCHAR(32) NOT NULL,
  version INT UNSIGNED NOT NULL,       -- raised by each change; the programs look for it
  budget BIGINT NOT NULL,              -- all that this cell was ever given for it
  config MEDIUMTEXT NOT NULL,          -- as checked by `hbctl campaign apply`: JSON
  applied_at BIGINT NOT NULL,
  UNIQUE KEY name (name)
);

-- A block of a campaign's budget in the hands of one hb-rain. What of it became no subsidy comes back when no token
-- of it can be alive and no message of it can be under way any more.
CREATE TABLE budget_lease (
  lease_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  campaign INT UNSIGNED NOT NULL,
  amount BIGINT NOT NULL,
  holder VARCHAR(64) NOT NULL,         -- program, site, instance: for people
  state TINYINT UNSIGNED NOT NULL,     -- states.def LEASE
  created_at BIGINT NOT NULL,
  ends_at BIGINT NOT NULL,             -- nothing is drawn from it after this
  settle_at BIGINT NOT NULL,           -- no token of it is good after this
  returned BIGINT NOT NULL DEFAULT 0,
  KEY due (state, settle_at)
);

-- The owner of an external order number, in the cell that the number leads to; first of all that is written for it.
CREATE TABLE tracking (
  issuer VARCHAR(16) NOT NULL,         -- "rain" or a partner's name
  out_order_no VARBINARY(64) NOT NULL,
  uid BIGINT UNSIGNED NOT NULL,
  amount BIGINT NOT NULL,
  campaign INT UNSIGNED NOT NULL,
  expires_at BIGINT NOT NULL,
  subsidy_id BIGINT UNSIGNED NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (issuer, out_order_no)
);

-- A subsidy in its user's cell.
CREATE TABLE subsidy (
  subsidy_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  uid BIGINT UNSIGNED NOT NULL,
  issuer VARCHAR(16) NOT NULL,
  out_order_no VARBINARY(64) NOT NULL,
  campaign INT UNSIGNED NOT NULL,
  lease_id BIGINT UNSIGNED NOT NULL,   -- 0: of a partner
  amount BIGINT NOT NULL,
  state TINYINT UNSIGNED NOT NULL,
  expires_at BIGINT NOT NULL,
  packet_id BIGINT UNSIGNED NULL,      -- what it was spent on
  created_at BIGINT NOT NULL,
  changed_at BIGINT NOT NULL,
  UNIQUE KEY issued (issuer, out_order_no),
  UNIQUE KEY packet (packet_id),
  KEY by_user (uid, subsidy_id),
  KEY due (state, expires_at),
  KEY by_lease (lease_id)
);

-- The campaign that pays for a b2c packet; 0 for c2c.
ALTER TABLE packet ADD COLUMN campaign INT UNSIGNED NOT NULL DEFAULT 0;

-- Accounts whose balance is kept and may not fall below zero (lib/domain/ledger.def says which kinds).
CREATE TABLE account (
  kind TINYINT UNSIGNED NOT NULL,
  owner BIGINT UNSIGNED NOT NULL,
  balance BIGINT NOT NULL,
  PRIMARY KEY (kind, owner),
  CHECK (balance >= 0)
);

-- Double entry: the legs of one booking have one (kind, source_no) and sum to zero. Never changed, never aged away.
CREATE TABLE ledger (
  kind TINYINT UNSIGNED NOT NULL,
  source_no BIGINT UNSIGNED NOT NULL,
  leg TINYINT UNSIGNED NOT NULL,
  account TINYINT UNSIGNED NOT NULL,
  owner BIGINT UNSIGNED NOT NULL,
  amount BIGINT NOT NULL,              -- signed: what the account gains
  at_ms BIGINT NOT NULL,
  PRIMARY KEY (kind, source_no, leg),
  KEY by_account (account, owner, at_ms, kind, source_no, amount)
);

CREATE TABLE withdrawal (
  order_no BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  uid BIGINT UNSIGNED NOT NULL,
  amount BIGINT NOT NULL,
  state TINYINT UNSIGNED NOT NULL,
  tries INT UNSIGNED NOT NULL DEFAULT 0,
  stuck TINYINT UNSIGNED NOT NULL DEFAULT 0,
  next_check_at BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  changed_at BIGINT NOT NULL,
  KEY due (state, next_check_at),
  KEY by_user (uid, created_at, order_no)
);
