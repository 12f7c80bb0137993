-- A block of numbers: LAST_INSERT_ID becomes the first number after it.

-- name: numbers_lease
UPDATE id_block SET next_seq = LAST_INSERT_ID(next_seq + ?) WHERE one = 1;
