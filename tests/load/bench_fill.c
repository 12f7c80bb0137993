/* fill: open packets with sealed seeds and commitments, as a send and its payment would have left
 * them, many rows to a statement; their numbers go to a file, one a line. */
#include "tests/load/bench_sql.h"

#include "base/clk.h"
#include "base/parse.h"
#include "domain/numbers.h"
#include "domain/packet.h"
#include "domain/shares.h"
#include "domain/states.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 1000, ROW_BYTES = 512, FEN_PER_SHARE = 100, LIFE_MS = 86400000 };
enum { SEALED_BYTES = KEYS_BYTES + KEYS_SEAL_OVERHEAD };

typedef struct {
	program_t *p;
	shares_t *shares;
	numbers_t *numbers;
	uint64_t made;
	unsigned slot; /* of the last one */
	uint32_t count;
	FILE *list;
	char *text;
	size_t len;
} filler;

/* The cell's slots in turn, one sender for each. */
static unsigned own_slot(filler *f)
{
	do
		f->slot = (f->slot + 1) % TOPOLOGY_SLOTS;
	while (!program_owns_slot(f->p, f->slot));
	return f->slot;
}

static err_t row_add(filler *f, unsigned row, int64_t now)
{
	const unsigned slot = own_slot(f);
	uint8_t sealed[SEALED_BYTES], commitment[32];
	char sealed_hex[2 * SEALED_BYTES + 1], commitment_hex[65];
	uint64_t id;
	const err_t e = numbers_next(f->numbers, slot, &id);

	if (e != ERR_OK)
		return e;
	const int64_t total = (int64_t)f->count * FEN_PER_SHARE;
	split_input in = {.packet_id = id,
		.total_fen = total,
		.count = f->count,
		.kind = SPLIT_LUCKY,
		.nonce = ""};
	keys_random(in.seed, sizeof(in.seed));
	shares_seal(f->shares, id, in.seed, sealed);
	split_commitment(&in, commitment);
	parse_to_hex(sealed, sizeof(sealed), sealed_hex);
	parse_to_hex(commitment, sizeof(commitment), commitment_hex);
	f->len += (size_t)snprintf(f->text + f->len, ROW_BYTES,
		"%s(%" PRIu64 ",%u,%d,%d,%d,%d,%u,%u,%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64
		",%" PRIu64 ",x'%s','',x'%s','')",
		row == 0 ? "" : ",", id, 2000000 + slot, PACKET_C2C, SPLIT_LUCKY, PACKET_PUBLIC,
		STATES_PACKET_OPEN, f->count, f->count, total, total, now, now + LIFE_MS, id,
		sealed_hex, commitment_hex);
	f->made++;
	fprintf(f->list, "%" PRIu64 "\n", id);
	return ERR_OK;
}

static err_t rows_insert(filler *f, db_t *db, unsigned rows)
{
	err_t e = db_begin(db);

	f->len = (size_t)sprintf(f->text,
		"INSERT INTO packet (packet_id,sender,kind,split,scope,state,count,remaining_count,"
		"total,remaining,created_at,expires_at,seed_id,seed,nonce,commitment,greeting)"
		" VALUES ");
	for (unsigned i = 0; i < rows && e == ERR_OK; i++)
		e = row_add(f, i, clk_wall_ms());
	if (e == ERR_OK)
		e = db_script(db, f->text, f->len, NULL, NULL);
	if (e == ERR_OK)
		return db_commit(db);
	db_rollback(db);
	return e;
}

int bench_fill(program_t *p, int argc, char **argv)
{
	if (argc != 4)
		return -1;
	const uint64_t packets = bench_number(argv[1], "packets", 100000000);
	filler f = {.p = p, .count = (uint32_t)bench_number(argv[2], "shares", 10000000)};
	db_pool_t *pool = NULL;
	db_t *db = NULL;
	err_t e = program_db_pool(p, 2, &pool);

	f.list = fopen(argv[3], "we");
	f.text = malloc(ROW_BYTES + (size_t)ROWS * ROW_BYTES);
	f.shares = shares_new(p->seal_keys, 1 << 20);
	BUG_ON(!f.list || !f.text);
	if (e == ERR_OK)
		e = numbers_new(
			pool, p->cell->number, conf_i(p->conf, CONF_NUMBER_BLOCK), &f.numbers);
	if (e == ERR_OK)
		e = db_open(&p->db, &db);
	while (e == ERR_OK && f.made < packets) {
		const uint64_t left = packets - f.made;
		e = rows_insert(&f, db, left < ROWS ? (unsigned)left : ROWS);
	}
	db_close(&db);
	if (f.numbers)
		numbers_free(&f.numbers);
	if (pool)
		db_pool_free(&pool);
	shares_free(&f.shares);
	free(f.text);
	if (fclose(f.list) != 0)
		e = ERR_INTERNAL;
	if (e != ERR_OK)
		fprintf(stderr, "hb-bench-sql: fill: %s\n", err_code(e));
	return e == ERR_OK ? 0 : 1;
}
