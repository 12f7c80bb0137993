-- The tables of one cell. Times are milliseconds since 1970 (UTC), money is fen, numbers are BIGINT UNSIGNED
-- below 2^63, states are the numbers of lib/domain/states.def. Every table is InnoDB (strict mode on).

CREATE TABLE cell_epoch (
  one TINYINT UNSIGNED NOT NULL PRIMARY KEY CHECK (one = 1),
  cell CHAR(1) NOT NULL,
  epoch BIGINT UNSIGNED NOT NULL
);

CREATE TABLE heartbeat (
  one TINYINT UNSIGNED NOT NULL PRIMARY KEY CHECK (one = 1),
  beat BIGINT UNSIGNED NOT NULL,
  at_ms BIGINT NOT NULL
);
INSERT INTO heartbeat VALUES (1, 0, 0);

-- What stands before the five digits of cell and slot in every number.
CREATE TABLE id_block (
  one TINYINT UNSIGNED NOT NULL PRIMARY KEY CHECK (one = 1),
  next_seq BIGINT UNSIGNED NOT NULL
);
INSERT INTO id_block VALUES (1, 1000);

-- The seed that a user's next packet will use; consumed (deleted) by the send that uses it.
CREATE TABLE user_seed (
  uid BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  seed_id BIGINT UNSIGNED NOT NULL,
  sealed VARBINARY(96) NOT NULL
);

CREATE TABLE packet (
  packet_id BIGINT UNSIGNED NOT NULL,
  sender BIGINT UNSIGNED NOT NULL,
  kind TINYINT UNSIGNED NOT NULL,
  split TINYINT UNSIGNED NOT NULL,
  scope TINYINT UNSIGNED NOT NULL,
  state TINYINT UNSIGNED NOT NULL,
  count INT UNSIGNED NOT NULL,
  remaining_count INT UNSIGNED NOT NULL,
  total BIGINT NOT NULL,
  remaining BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,          -- while unpaid: when the payment is to be closed
  seed_id BIGINT UNSIGNED NOT NULL,
  seed VARBINARY(96) NOT NULL,         -- sealed under the seal ring, purpose "seed", bound to seed_id
  nonce VARBINARY(64) NOT NULL,        -- the client's, may be empty
  commitment BINARY(32) NOT NULL,
  greeting VARCHAR(100) NOT NULL,
  video_id VARCHAR(64) NULL,
  PRIMARY KEY (packet_id),
  KEY due (state, expires_at),
  KEY by_sender (sender, created_at, packet_id),
  CHECK (remaining >= 0 AND remaining <= total AND remaining_count <= count)
);

CREATE TABLE invited (
  packet_id BIGINT UNSIGNED NOT NULL,
  uid BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (packet_id, uid)
);

-- One opening of one packet by one user. Never changed.
CREATE TABLE claim (
  packet_id BIGINT UNSIGNED NOT NULL,
  uid BIGINT UNSIGNED NOT NULL,
  idx INT UNSIGNED NOT NULL,           -- 0-based position in the packet's shares
  claim_no BIGINT UNSIGNED NOT NULL,   -- the order number of its transfer
  amount BIGINT NOT NULL,
  claimed_at BIGINT NOT NULL,
  PRIMARY KEY (packet_id, uid),
  UNIQUE KEY packet_idx (packet_id, idx)
);

CREATE TABLE idempotency (
  uid BIGINT UNSIGNED NOT NULL,
  route TINYINT UNSIGNED NOT NULL,
  ikey VARBINARY(64) NOT NULL,
  body_hash BINARY(32) NOT NULL,
  ref BIGINT UNSIGNED NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (uid, route, ikey)
);

CREATE TABLE payment (
  order_no BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  packet_id BIGINT UNSIGNED NOT NULL,
  payer BIGINT UNSIGNED NOT NULL,
  amount BIGINT NOT NULL,
  state TINYINT UNSIGNED NOT NULL,
  tries INT UNSIGNED NOT NULL DEFAULT 0,
  stuck TINYINT UNSIGNED NOT NULL DEFAULT 0,
  next_check_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  cashier_url VARCHAR(300) NOT NULL DEFAULT '',
  created_at BIGINT NOT NULL,
  changed_at BIGINT NOT NULL,
  UNIQUE KEY packet (packet_id),
  KEY due (state, next_check_at)
);

CREATE TABLE transfer (
  order_no BIGINT UNSIGNED NOT NULL PRIMARY KEY, -- the claim's number
  packet_id BIGINT UNSIGNED NOT NULL,
  payee BIGINT UNSIGNED NOT NULL,
  amount BIGINT NOT NULL,
  kind TINYINT UNSIGNED NOT NULL,      -- 1 finance, 2 credit
  state TINYINT UNSIGNED NOT NULL,
  tries INT UNSIGNED NOT NULL DEFAULT 0,
  stuck TINYINT UNSIGNED NOT NULL DEFAULT 0,
  next_check_at BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  changed_at BIGINT NOT NULL,
  KEY due (state, next_check_at),
  KEY by_packet (packet_id)
);

CREATE TABLE refund (
  order_no BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  packet_id BIGINT UNSIGNED NOT NULL,
  reason TINYINT UNSIGNED NOT NULL,    -- 1 expired, 2 late payment, 3 refused transfer
  claim_no BIGINT UNSIGNED NOT NULL DEFAULT 0,
  payment_no BIGINT UNSIGNED NOT NULL,
  payee BIGINT UNSIGNED NOT NULL,
  amount BIGINT NOT NULL,
  state TINYINT UNSIGNED NOT NULL,
  tries INT UNSIGNED NOT NULL DEFAULT 0,
  stuck TINYINT UNSIGNED NOT NULL DEFAULT 0,
  next_check_at BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  changed_at BIGINT NOT NULL,
  UNIQUE KEY packet_reason (packet_id, reason, claim_no),
  KEY due (state, next_check_at)
);

-- What a user has received, in the user's own cell; filled through the inbox queue.
CREATE TABLE received (
  uid BIGINT UNSIGNED NOT NULL,
  claim_no BIGINT UNSIGNED NOT NULL,
  packet_id BIGINT UNSIGNED NOT NULL,
  sender BIGINT UNSIGNED NOT NULL,
  kind TINYINT UNSIGNED NOT NULL,
  amount BIGINT NOT NULL,
  claimed_at BIGINT NOT NULL,
  PRIMARY KEY (uid, claim_no),
  KEY by_time (uid, claimed_at, claim_no)
);

-- A row holds the events of one transaction that are of one kind: a JSON array in payload (see docs/architecture.md).
CREATE TABLE outbox (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  kind TINYINT UNSIGNED NOT NULL,
  business_no BIGINT UNSIGNED NOT NULL,
  lease_until BIGINT NOT NULL DEFAULT 0,
  created_at BIGINT NOT NULL,
  payload MEDIUMBLOB NOT NULL
);

-- What finance told us by callback, once per event.
CREATE TABLE finance_event (
  order_no BIGINT UNSIGNED NOT NULL,
  event_id VARBINARY(64) NOT NULL,
  kind TINYINT UNSIGNED NOT NULL,
  outcome TINYINT UNSIGNED NOT NULL,
  amount BIGINT NOT NULL,
  at_ms BIGINT NOT NULL,
  received_at BIGINT NOT NULL,
  handled_at BIGINT NULL,
  PRIMARY KEY (order_no, event_id)
);

CREATE TABLE parked (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  queue VARCHAR(64) NOT NULL,
  reason VARCHAR(200) NOT NULL,
  parked_at BIGINT NOT NULL,
  body MEDIUMBLOB NOT NULL
);
