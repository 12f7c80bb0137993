/* hbctl subsidies: how far the recording of wins is behind. The queue knows how many wait and who
 * takes them; how fast, the configuration says. */
#include "units/verb.h"

#include "base/arena.h"
#include "base/jw.h"
#include "domain/program.h"
#include "store/mq.h"
#include <stdio.h>
#include <string.h>

enum { OUTPUT_BYTES = 1 << 16, QUEUE_BYTES = 24 };

typedef struct {
	const char *cell;
	uint64_t queued, consumers;
	int64_t rate; /* of all of them, a second */
} backlog;

static err_t connect(mq_t **out)
{
	mq_target t;
	program_mq_nodes(verb_topology(), &t);
	const err_t e = verb_secret("mq.hongbao", t.password, sizeof t.password);
	return e == ERR_OK ? mq_open(&t, out) : e;
}

/* A queue that nobody has declared yet holds nothing. */
static err_t look(const topology_cell *cell, backlog *out)
{
	char queue[QUEUE_BYTES];
	mq_t *mq;
	*out = (backlog){.cell = cell->name};
	err_t e = connect(&mq);
	if (e != ERR_OK)
		return e;
	snprintf(queue, sizeof queue, "%s.subsidy", cell->name);
	e = mq_depth(mq, queue, &out->queued, &out->consumers);
	mq_close(&mq);
	out->rate = conf_i(verb_conf(), CONF_SUBSIDY_RATE) * (int64_t)out->consumers;
	return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* Whole seconds until nothing waits; -1: never, as it stands. */
static int64_t empty_in_s(const backlog *b)
{
	if (b->queued == 0)
		return 0;
	return b->rate ? ((int64_t)b->queued + b->rate - 1) / b->rate : -1;
}

static void print_row(const backlog *b)
{
	char when[24] = "never";
	if (empty_in_s(b) >= 0)
		snprintf(when, sizeof when, "%lld s", (long long)empty_in_s(b));
	printf("%-4s  %10llu  %9llu  %8lld  %s\n", b->cell, (unsigned long long)b->queued,
		(unsigned long long)b->consumers, (long long)b->rate, when);
}

static void write_json(const backlog *b, jw_t *w)
{
	jw_obj(w, NULL);
	jw_str(w, "cell", b->cell);
	jw_i64(w, "queued", (int64_t)b->queued);
	jw_i64(w, "consumers", (int64_t)b->consumers);
	jw_i64(w, "rate_per_s", b->rate);
	if (empty_in_s(b) < 0)
		jw_null(w, "empty_in_s");
	else
		jw_i64(w, "empty_in_s", empty_in_s(b));
	jw_obj_end(w);
}

int subsidies_verb(int argc, char **argv)
{
	const topology_t *t = verb_topology();
	int status = VERB_DONE;
	jw_t w;
	(void)argv;
	if (argc != 1)
		return verb_usage("subsidies backlog");
	arena_t *a = arena_new(OUTPUT_BYTES);
	jw_start(&w, a);
	jw_arr(&w, NULL);
	if (!verb_json())
		printf("%-4s  %10s  %9s  %8s  %s\n", "CELL", "QUEUED", "CONSUMERS", "RATE/S",
			"EMPTY IN");
	for (unsigned i = 0; i < t->cell_count; i++) {
		backlog b;
		const err_t e = look(&t->cell[i], &b);
		if (e != ERR_OK)
			status = verb_fail(e, "the queue of cell %s", t->cell[i].name);
		else if (verb_json())
			write_json(&b, &w);
		else
			print_row(&b);
	}
	jw_arr_end(&w);
	jw_end(&w);
	if (verb_json())
		puts(w.buf);
	arena_free(&a);
	return status;
}
