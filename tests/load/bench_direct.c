/* direct: the very statements of the claim lane (claim_batch), run by a few threads with a
 * connection each and with batches of a fixed size: what the database can take when nothing else is
 * done. With batches of one and waiting for the row's lock it is the limit of the row-lock
 * baseline. Prints one JSON object. */
#include "tests/load/bench_sql.h"

#include "base/clk.h"
#include "base/parse.h"
#include "domain/claim_batch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_MAX = 1024, THREADS_MAX = 256, SHARES_BYTES = 256 << 20 };
enum { FIRST_UID = 1000000000 };

typedef struct {
	program_t *p;
	uint64_t *packet;
	size_t packets;
	unsigned batch, threads;
	int64_t warm_ms, run_ms;
	numbers_t *numbers;
	shares_t *shares;
	_Atomic uint64_t next; /* claims given out: packet and user come from it */
	uint64_t first_user;
	int64_t start_ms;
	_Atomic uint64_t claimed, in_window, failed;
} direct;

/* Claims of one batch; those of one packet stand together. */
typedef struct {
	lane_item item[BATCH_MAX];
	lane_part part[BATCH_MAX];
	lane_batch batch;
} batch_memory;

static void batch_fill(direct *d, batch_memory *m)
{
	const uint64_t from = atomic_fetch_add(&d->next, d->batch);
	const size_t packets = d->packets < d->batch ? d->packets : d->batch;
	const int64_t now = clk_wall_ms();
	unsigned used = 0;

	m->batch = (lane_batch){m->part, (unsigned)packets};
	for (size_t i = 0; i < packets; i++) {
		const unsigned count = (unsigned)(d->batch / packets + (i < d->batch % packets));
		m->part[i] = (lane_part){.packet_id = d->packet[(from + i) % d->packets],
			.item = m->item + used,
			.count = count};
		for (unsigned k = 0; k < count; k++, used++)
			m->item[used] = (lane_item){
				.uid = FIRST_UID + d->first_user + from + used, .asked_ms = now};
	}
}

static uint64_t batch_claimed(const batch_memory *m, unsigned n)
{
	uint64_t claimed = 0;

	for (unsigned i = 0; i < n; i++)
		claimed += m->item[i].err == ERR_OK && m->item[i].result.outcome == CLAIM_CLAIMED;
	return claimed;
}

static void *direct_main(void *arg)
{
	direct *d = arg;
	const claim_batch_conf conf = {.numbers = d->numbers,
		.shares = d->shares,
		.claims_max = d->batch,
		.skip_locked = false};
	claim_batch_t *work = claim_batch_new(&conf);
	batch_memory *m = calloc(1, sizeof(*m));
	db_t *db = NULL;

	BUG_ON(!m);
	if (db_open(&d->p->db, &db) != ERR_OK)
		exit(1);
	const int64_t warm = d->start_ms + d->warm_ms, end = warm + d->run_ms;
	for (int64_t now = 0; now < end;) {
		batch_fill(d, m);
		err_t e;
		do
			e = claim_batch_run(work, db, &m->batch);
		while (e == ERR_DB_RETRY && clk_mono_ms() < end);
		now = clk_mono_ms();
		const uint64_t claimed = e == ERR_OK ? batch_claimed(m, d->batch) : 0;
		atomic_fetch_add(&d->claimed, claimed);
		atomic_fetch_add(&d->failed, d->batch - claimed);
		if (now >= warm && now < end)
			atomic_fetch_add(&d->in_window, claimed);
	}
	db_close(&db);
	claim_batch_free(&work);
	free(m);
	return NULL;
}

static bool packets_read(direct *d, const char *path)
{
	FILE *f = fopen(path, "re");
	char line[64];
	size_t room = 0;

	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (d->packets == room) {
			room = room ? room * 2 : 1024;
			d->packet = realloc(d->packet, room * sizeof(*d->packet));
			BUG_ON(!d->packet);
		}
		if (!parse_u64(line, INT64_MAX, &d->packet[d->packets++]))
			d->packets = 0;
	}
	if (f)
		fclose(f);
	return d->packets > 0;
}

static void direct_run(direct *d)
{
	pthread_t thread[THREADS_MAX];

	d->start_ms = clk_mono_ms();
	for (unsigned i = 0; i < d->threads; i++)
		BUG_ON(pthread_create(&thread[i], NULL, direct_main, d) != 0);
	for (unsigned i = 0; i < d->threads; i++)
		pthread_join(thread[i], NULL);
	printf("{\"claimed\": %llu, \"failed\": %llu, \"claimed_rate\": %.1f}\n",
		(unsigned long long)d->claimed, (unsigned long long)d->failed,
		(double)d->in_window * 1000 / (double)d->run_ms);
}

/* direct PACKETS-FILE BATCH THREADS MS FIRST-USER */
int bench_direct(program_t *p, int argc, char **argv)
{
	if (argc != 6)
		return -1;
	direct d = {.p = p,
		.batch = (unsigned)bench_number(argv[2], "batch", BATCH_MAX),
		.threads = (unsigned)bench_number(argv[3], "threads", THREADS_MAX),
		.warm_ms = 300,
		.run_ms = (int64_t)bench_number(argv[4], "ms", 600000),
		.first_user = bench_number(argv[5], "first user", 8999999999)};
	db_pool_t *pool = NULL;
	err_t e = program_db_pool(p, d.threads, &pool);

	if (d.batch == 0 || d.threads == 0 || d.run_ms == 0 || !packets_read(&d, argv[1]))
		return -1;
	d.shares = shares_new(p->seal_keys, SHARES_BYTES);
	if (e == ERR_OK)
		e = numbers_new(
			pool, p->cell->number, conf_i(p->conf, CONF_NUMBER_BLOCK), &d.numbers);
	if (e == ERR_OK)
		direct_run(&d);
	if (d.numbers)
		numbers_free(&d.numbers);
	if (pool)
		db_pool_free(&pool);
	shares_free(&d.shares);
	free(d.packet);
	return e == ERR_OK ? 0 : 1;
}
