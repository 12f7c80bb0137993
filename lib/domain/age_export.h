/* age_export: the files of a range: FOLDER/<below>/{packet,invited,claim}.jsonl, one line of JSON per row in
 * the order of the keys, and manifest.json with the rows, bytes and SHA-256 of each. A file is written
 * beside its place, synced and renamed, the manifest last; a range without a manifest has no export.
 *
 * All of a range is read by age_export and again by age_verify; each looks at every row's own state and
 * at every claim's transfer, and gives ERR_STATE_REFUSED when one is not at its end. Threads: none. */
#ifndef HB_DOMAIN_AGE_EXPORT_H
#define HB_DOMAIN_AGE_EXPORT_H

#include "domain/age.h"

typedef struct {
	db_t *db;
	const char *folder; /* of the cell; made when it is not there, but not what it is in */
	int64_t rows_per_s;
} age_desk;

/* Writes the files of a range anew, and says what is in them. ERR_CONFIG_INVALID: they cannot be written;
 * ERR_TIMEOUT: the program is told to stop. */
err_t age_export(const age_desk *d, const age_range *r, uint64_t rows[AGE_TABLES],
	uint8_t digest[AGE_DIGEST_BYTES]) MUST_CHECK;

/* Whether files, manifest, tables and the range's row all say the same; in that order, so that a folder
 * without the files costs nothing. Keeps the rest of every packet that it reads (age_keep_rest). */
err_t age_verify(const age_desk *d, const age_range *r, bool *same) MUST_CHECK;

#endif
