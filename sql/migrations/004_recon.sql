-- Reconciliation (docs/reconciliation.md). Units as in 001; numbers of domain, thing and kind are those of lib/domain/recon.def.

-- One row per window that was ever compared; the last comparison's figures.
CREATE TABLE recon_run (
  domain TINYINT UNSIGNED NOT NULL,
  window_at BIGINT NOT NULL,
  window_end BIGINT NOT NULL,
  began_at BIGINT NOT NULL,
  ended_at BIGINT NULL,                -- NULL: it is running, or died
  here BIGINT UNSIGNED NOT NULL DEFAULT 0,
  there BIGINT UNSIGNED NOT NULL DEFAULT 0,
  waiting BIGINT UNSIGNED NOT NULL DEFAULT 0,
  differences BIGINT UNSIGNED NOT NULL DEFAULT 0,
  PRIMARY KEY (domain, window_at, window_end)
);

-- What was found. A row stays for ever: when a later comparison of its window does not find it any more, it is marked.
CREATE TABLE recon_diff (
  domain TINYINT UNSIGNED NOT NULL,
  window_at BIGINT NOT NULL,
  window_end BIGINT NOT NULL,
  thing TINYINT UNSIGNED NOT NULL,
  order_no BIGINT UNSIGNED NOT NULL,
  kind TINYINT UNSIGNED NOT NULL,
  ours BIGINT NULL,                    -- fen, or a state for kind 4
  theirs BIGINT NULL,
  found_at BIGINT NOT NULL,
  seen_at BIGINT NOT NULL,
  gone_at BIGINT NULL,
  PRIMARY KEY (domain, window_at, window_end, thing, order_no, kind)
);
