-- The statements of tests/unit/test_db.c, which brings its own table of them.

-- name: row_insert
INSERT INTO hb_row (id, u, i, b, s) VALUES (?, ?, ?, ?, ?);
-- name: row_all
SELECT id, u, i, b, s FROM hb_row ORDER BY id;
-- name: row_one
SELECT i FROM hb_row WHERE id = ?;
-- name: row_set
UPDATE hb_row SET i = ? WHERE id = ?;
-- name: row_sums
SELECT SUM(u), SUM(i), COUNT(*), MAX(s), CAST(0.5 AS DECIMAL(3,2)) FROM hb_row;
-- name: row_returning
INSERT INTO hb_row (id) VALUES (?) RETURNING id;
-- name: auto_insert
INSERT INTO hb_auto (s) VALUES (?);
-- name: counter_take
UPDATE hb_row SET i = LAST_INSERT_ID(i) + ? WHERE id = ?;
-- name: broken
SELECT nothing FROM hb_row;
