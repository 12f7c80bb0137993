-- 1: compared with a statement that somebody gave (hbctl reconcile --file), which may lack anything: hb-worker compares the window all the same.
ALTER TABLE recon_run ADD COLUMN given TINYINT UNSIGNED NOT NULL DEFAULT 0;
