-- What lib/store itself runs.

-- The lock keeps a failover's new epoch out until the transaction ends.
-- name: epoch_check
SELECT epoch FROM cell_epoch WHERE one = 1 LOCK IN SHARE MODE;
