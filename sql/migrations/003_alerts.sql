-- What a person has to be told, and what a parked message needs to be put back. Units as in 001.

-- One row per thing, written by the transaction that finds it; the role `alert` sends it to the webhook and sets sent_at.
CREATE TABLE alert (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  kind TINYINT UNSIGNED NOT NULL,      -- lib/domain/alert.h
  subject VARCHAR(80) NOT NULL,        -- which one: told once, until somebody has acted on it
  text VARCHAR(400) NOT NULL,
  created_at BIGINT NOT NULL,
  lease_until BIGINT NOT NULL DEFAULT 0,
  sent_at BIGINT NULL,
  UNIQUE KEY thing (kind, subject),
  KEY unsent (sent_at, id)
);

-- The outbox kind of the message (lib/domain/outbox.h); 0: unknown, it cannot be put back by itself.
ALTER TABLE parked ADD COLUMN kind TINYINT UNSIGNED NOT NULL DEFAULT 0;
