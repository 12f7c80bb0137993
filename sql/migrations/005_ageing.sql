-- Ageing (docs/ageing.md): packets and what hangs on them leave by ranges of their numbers. Units as in 001. A range is a partition
-- p<sequence> of each of the three tables, where <sequence> × 100000 is the first number above it; pmax is always empty.

-- An index of a partitioned table does not end in the primary key by itself, and the sweep walks in the order of both.
ALTER TABLE packet DROP KEY due, ADD KEY due (state, expires_at, packet_id);
ALTER TABLE packet PARTITION BY RANGE (packet_id) (
  PARTITION p100000000 VALUES LESS THAN (10000000000000),
  PARTITION p200000000 VALUES LESS THAN (20000000000000),
  PARTITION p300000000 VALUES LESS THAN (30000000000000),
  PARTITION pmax VALUES LESS THAN MAXVALUE);
ALTER TABLE claim PARTITION BY RANGE (packet_id) (
  PARTITION p100000000 VALUES LESS THAN (10000000000000),
  PARTITION p200000000 VALUES LESS THAN (20000000000000),
  PARTITION p300000000 VALUES LESS THAN (30000000000000),
  PARTITION pmax VALUES LESS THAN MAXVALUE);
ALTER TABLE invited PARTITION BY RANGE (packet_id) (
  PARTITION p100000000 VALUES LESS THAN (10000000000000),
  PARTITION p200000000 VALUES LESS THAN (20000000000000),
  PARTITION p300000000 VALUES LESS THAN (30000000000000),
  PARTITION pmax VALUES LESS THAN MAXVALUE);

-- A row of a range stays for ever; its first number is the `below` of the row before it.
CREATE TABLE age_range (
  below BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  state TINYINT UNSIGNED NOT NULL,       -- states.def RANGE
  began_at BIGINT NOT NULL,              -- when numbers of it were first given; 0: not yet
  changed_at BIGINT NOT NULL,
  packets BIGINT UNSIGNED NOT NULL DEFAULT 0,  -- as exported, like the next three
  claims BIGINT UNSIGNED NOT NULL DEFAULT 0,
  invited BIGINT UNSIGNED NOT NULL DEFAULT 0,
  digest BINARY(32) NULL
);
INSERT INTO age_range (below, state, began_at, changed_at) VALUES
  (10000000000000, 1, 0, 0), (20000000000000, 1, 0, 0), (30000000000000, 1, 0, 0);

-- No packet is sent with a number below this: whoever sends reads the row with a shared lock, whoever raises it waits for them.
CREATE TABLE age_mark (
  one TINYINT UNSIGNED NOT NULL PRIMARY KEY CHECK (one = 1),
  closed_below BIGINT UNSIGNED NOT NULL
);
INSERT INTO age_mark VALUES (1, 0);

-- What stays of a packet that has left: a repeated Idempotency-Key is answered from it, and the books are compared with it.
CREATE TABLE packet_left (
  packet_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  sender BIGINT UNSIGNED NOT NULL,
  kind TINYINT UNSIGNED NOT NULL,
  state TINYINT UNSIGNED NOT NULL,
  total BIGINT NOT NULL,
  remaining BIGINT NOT NULL,
  campaign INT UNSIGNED NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  seed_id BIGINT UNSIGNED NOT NULL,
  commitment BINARY(32) NOT NULL
);
