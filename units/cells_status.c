/* hbctl cells status: the cells as the control records, the members and the queues show them. What cannot
 * be asked is "-", never a zero. */
#include "units/gtid.h"
#include "units/role.h"
#include "units/verb.h"

#include "base/arena.h"
#include "base/clk.h"
#include "base/jw.h"
#include "domain/program.h"
#include "domain/queue.h"
#include "domain/recon_live.h"
#include "store/mq.h"
#include <stdio.h>
#include <string.h>

enum {
	GREET_MS = 500,
	LOOK_IO_MS = 3000,
	OUTPUT_BYTES = 1 << 20,
	AGAIN_MS = 1000,
	TEXT_BYTES = 24
};

typedef struct {
	bool known;
	int64_t v;
} figure;

typedef struct {
	db_t *db; /* NULL: it cannot be reached */
	role_view says;
	figure lag_tx, lag_ms; /* of a replica, behind the primary */
} member_view;

typedef struct {
	const topology_cell *cell;
	err_t error; /* of asking the control record */
	control_record record;
	member_view member[TOPOLOGY_MEMBERS_MAX];
	bool ready; /* the primary takes writes, and what the record promises is so */
	figure outbox, queued, stuck, imbalance_fen, worst_tx, worst_ms;
} cell_view;

static void look_at_member(const topology_member *m, member_view *v)
{
	if (role_open(m, GREET_MS, LOOK_IO_MS, &v->db) == ERR_OK &&
		role_read(v->db, &v->says) != ERR_OK)
		db_close(&v->db);
}

static bool is_primary(const cell_view *v, unsigned i)
{
	return v->error == ERR_OK && !strcmp(v->cell->member[i].site, v->record.primary);
}

static member_view *primary_of(cell_view *v)
{
	for (unsigned i = 0; i < v->cell->member_count; i++)
		if (is_primary(v, i) && v->member[i].db)
			return &v->member[i];
	return NULL;
}

static bool beat_of(db_t *db, int64_t *out)
{
	db_rows_t *rows = NULL;
	bool got = db && db_select(db, SQL_HEARTBEAT_AT, DB_NONE, &rows) == ERR_OK;

	if (got) {
		got = db_rows_next(rows);
		if (got)
			*out = db_rows_i(rows, 0);
		db_rows_free(&rows);
	}
	return got;
}

static void worse(figure *worst, const figure *f)
{
	if (f->known && (!worst->known || f->v > worst->v))
		*worst = *f;
}

/* The primary's row is read before the replicas', so what is written meanwhile counts for them. */
static void look_at_lag(cell_view *v)
{
	const member_view *p = primary_of(v);
	int64_t there_ms = 0, here_ms = 0;

	if (!p || !beat_of(p->db, &there_ms))
		return;
	for (unsigned i = 0; i < v->cell->member_count; i++) {
		member_view *m = &v->member[i];

		if (m == p || !m->db)
			continue;
		m->lag_tx = (figure){
			true, (int64_t)gtid_missing(m->says.slave_pos, p->says.binlog_pos)};
		m->lag_ms.known = beat_of(m->db, &here_ms);
		m->lag_ms.v = there_ms > here_ms ? there_ms - here_ms : 0;
		if (control_in_sync(&v->record, v->cell->member[i].site)) {
			worse(&v->worst_tx, &m->lag_tx);
			worse(&v->worst_ms, &m->lag_ms);
		}
	}
}

static void look_at_work(cell_view *v)
{
	const member_view *p = primary_of(v);
	db_rows_t *rows = NULL;
	uint64_t stuck = 0;

	if (!p)
		return;
	if (db_select(p->db, SQL_UNITS_OUTBOX_ROWS, DB_NONE, &rows) == ERR_OK) {
		v->outbox.known = db_rows_next(rows);
		v->outbox.v = v->outbox.known ? db_rows_i(rows, 0) : 0;
		db_rows_free(&rows);
	}
	v->stuck.known = orders_count_stuck(p->db, &stuck) == ERR_OK;
	v->stuck.v = (int64_t)stuck;
}

static void look_at_cell(const topology_cell *cell, cell_view *v)
{
	const member_view *p;

	*v = (cell_view){.cell = cell};
	v->error = control_get(verb_control(), cell->name, &v->record);
	for (unsigned i = 0; i < cell->member_count; i++)
		look_at_member(&cell->member[i], &v->member[i]);
	p = primary_of(v);
	v->ready = p && !p->says.read_only && v->record.change == CONTROL_STEADY &&
		   (p->says.semi_sync_clients > 0 || v->record.protection == CONTROL_UNPROTECTED);
}

static bool mq_start(mq_t **out)
{
	mq_target t;

	program_mq_nodes(verb_topology(), &t);
	return verb_secret("mq.hongbao", t.password, sizeof t.password) == ERR_OK &&
	       mq_open(&t, out) == ERR_OK;
}

/* A queue that nobody has declared yet holds nothing; asking for it costs the connection. */
static void look_at_queues(cell_view *v)
{
	mq_t *mq = NULL;

	/* Without those that only wait for their time. */
	for (queue_id q = 0; q < QUEUE_WAIT1; q++) {
		char name[QUEUE_NAME_BYTES];
		uint64_t ready = 0, consumers;
		err_t e;

		if (!mq && !mq_start(&mq))
			return;
		queue_name(q, v->cell->name, name);
		e = mq_depth(mq, name, &ready, &consumers);
		if (e == ERR_OK)
			v->queued.v += (int64_t)ready;
		else
			mq_close(&mq);
		if (e != ERR_OK && e != ERR_NOT_FOUND)
			return;
	}
	mq_close(&mq);
	v->queued.known = true;
}

/* More booked in than the sender booked out is money from nothing; the receiver is read first. */
static void look_at_flows(cell_view *views, unsigned n)
{
	for (unsigned to = 0; to < n; to++) {
		const member_view *receiver = primary_of(&views[to]);
		figure sum = {receiver != NULL, 0};

		for (unsigned from = 0; from < n && sum.known; from++) {
			const member_view *sender = primary_of(&views[from]);
			recon_flow f = {.from = views[from].cell, .to = views[to].cell};

			sum.known =
				sender && recon_live_flow(sender->db, receiver->db, &f) == ERR_OK;
			if (sum.known && f.in_fen > f.out_fen)
				sum.v += f.in_fen - f.out_fen;
		}
		views[to].imbalance_fen = sum;
	}
}

static const char *protection_of(const cell_view *v)
{
	if (v->error != ERR_OK)
		return "UNKNOWN";
	return v->record.protection == CONTROL_PROTECTED ? "PROTECTED" : "UNPROTECTED";
}

static const char *state_of(const cell_view *v)
{
	static const char *const under_way[] = {[CONTROL_SWITCHING] = "SWITCHING",
		[CONTROL_FAILING] = "FAILING",
		[CONTROL_DRAINED] = "DRAINED",
		[CONTROL_MOVING] = "FAILING"};

	if (v->error != ERR_OK || v->record.change == CONTROL_STEADY)
		return protection_of(v);
	return under_way[v->record.change];
}

/* Without the record nobody may say who is the primary, not even a member that takes writes. */
static const char *role_of(const cell_view *v, unsigned i)
{
	if (v->error != ERR_OK)
		return "unknown";
	if (is_primary(v, i))
		return "primary";
	return control_in_sync(&v->record, v->cell->member[i].site) ? "replica" : "not in sync";
}

static const char *server_of(const member_view *m)
{
	if (!m->db)
		return "unreachable";
	if (m->says.stands_by)
		return "stands by";
	return m->says.read_only ? "read-only" : "writable";
}

static const char *position_of(const cell_view *v, unsigned i)
{
	const role_view *says = &v->member[i].says;

	if (!v->member[i].db)
		return "-";
	return is_primary(v, i) || !says->slave_pos[0] ? says->binlog_pos : says->slave_pos;
}

static const char *shown(figure f, char out[TEXT_BYTES])
{
	snprintf(out, TEXT_BYTES, "%lld", (long long)f.v);
	return f.known ? out : "-";
}

static void print_cells(const cell_view *views, unsigned n)
{
	char t[6][TEXT_BYTES];

	printf("%-4s  %-7s  %5s  %-11s  %7s  %7s  %7s  %7s  %5s  %s\n", "CELL", "ACTIVE", "EPOCH",
		"STATE", "LAG-TX", "LAG-MS", "OUTBOX", "QUEUED", "STUCK", "IMBALANCE-FEN");
	for (unsigned i = 0; i < n; i++) {
		const cell_view *v = &views[i];

		printf("%-4s  %-7s  %5llu  %-11s  %7s  %7s  %7s  %7s  %5s  %s\n", v->cell->name,
			v->error == ERR_OK ? v->record.primary : "-",
			(unsigned long long)v->record.epoch, state_of(v), shown(v->worst_tx, t[0]),
			shown(v->worst_ms, t[1]), shown(v->outbox, t[2]), shown(v->queued, t[3]),
			shown(v->stuck, t[4]), shown(v->imbalance_fen, t[5]));
	}
	printf("\n");
}

static void print_members(const cell_view *v)
{
	char t[2][TEXT_BYTES], clients[TEXT_BYTES];

	for (unsigned i = 0; i < v->cell->member_count; i++) {
		const member_view *m = &v->member[i];
		figure acks = {m->db && is_primary(v, i), m->says.semi_sync_clients};

		printf("%-4s  %-8s  %-11s  %-11s  %8s  %7s  %7s  %s\n", v->cell->name,
			v->cell->member[i].site, role_of(v, i), server_of(m), shown(acks, clients),
			shown(m->lag_tx, t[0]), shown(m->lag_ms, t[1]), position_of(v, i));
	}
}

static void write_figure(jw_t *w, const char *name, figure f)
{
	if (f.known)
		jw_i64(w, name, f.v);
	else
		jw_null(w, name);
}

static void write_members(const cell_view *v, jw_t *w)
{
	jw_arr(w, "members");
	for (unsigned i = 0; i < v->cell->member_count; i++) {
		const member_view *m = &v->member[i];

		jw_obj(w, NULL);
		jw_str(w, "site", v->cell->member[i].site);
		jw_str(w, "role", role_of(v, i));
		jw_str(w, "server", server_of(m));
		if (m->db) {
			jw_i64(w, "semi_sync_clients", m->says.semi_sync_clients);
			jw_bool(w, "acknowledges", m->says.acknowledges);
			jw_str(w, "binlog_pos", m->says.binlog_pos);
			jw_str(w, "slave_pos", m->says.slave_pos);
		}
		write_figure(w, "lag_tx", m->lag_tx);
		write_figure(w, "lag_ms", m->lag_ms);
		jw_obj_end(w);
	}
	jw_arr_end(w);
}

static void write_json(const cell_view *v, jw_t *w)
{
	jw_obj(w, NULL);
	jw_str(w, "cell", v->cell->name);
	jw_str(w, "state", state_of(v));
	jw_str(w, "protection", protection_of(v));
	jw_i64(w, "epoch", (int64_t)v->record.epoch);
	jw_str(w, "active", v->error == ERR_OK ? v->record.primary : NULL);
	jw_bool(w, "ready", v->ready);
	write_figure(w, "lag_tx", v->worst_tx);
	write_figure(w, "lag_ms", v->worst_ms);
	write_figure(w, "outbox", v->outbox);
	write_figure(w, "queued", v->queued);
	write_figure(w, "stuck", v->stuck);
	write_figure(w, "imbalance_fen", v->imbalance_fen);
	write_members(v, w);
	jw_obj_end(w);
}

static void print_all(const cell_view *views, unsigned n)
{
	print_cells(views, n);
	printf("%-4s  %-8s  %-11s  %-11s  %8s  %7s  %7s  %s\n", "CELL", "SITE", "ROLE", "SERVER",
		"ACKED-BY", "LAG-TX", "LAG-MS", "POSITION");
	for (unsigned i = 0; i < n; i++)
		print_members(&views[i]);
}

static void write_all(const cell_view *views, unsigned n)
{
	arena_t *a = arena_new(OUTPUT_BYTES);
	jw_t w;

	jw_start(&w, a);
	jw_arr(&w, NULL);
	for (unsigned i = 0; i < n; i++)
		write_json(&views[i], &w);
	jw_arr_end(&w);
	jw_end(&w);
	puts(w.buf);
	arena_free(&a);
}

static int once(bool want_ready)
{
	static cell_view views[TOPOLOGY_CELLS_MAX];
	const topology_t *t = verb_topology();
	bool ready = true;
	int blind = VERB_DONE;

	for (unsigned i = 0; i < t->cell_count; i++) {
		look_at_cell(&t->cell[i], &views[i]);
		ready = ready && views[i].ready;
		if (views[i].error != ERR_OK)
			blind = verb_fail(views[i].error, "the control record of cell %s",
				views[i].cell->name);
		if (want_ready)
			continue; /* also before there are tables and queues */
		look_at_lag(&views[i]);
		look_at_work(&views[i]);
		look_at_queues(&views[i]);
	}
	if (!want_ready)
		look_at_flows(views, t->cell_count);
	if (verb_json())
		write_all(views, t->cell_count);
	else
		print_all(views, t->cell_count);
	for (unsigned i = 0; i < t->cell_count; i++)
		for (unsigned k = 0; k < t->cell[i].member_count; k++)
			db_close(&views[i].member[k].db);
	if (blind != VERB_DONE)
		return blind;
	return want_ready && !ready ? VERB_FAILED : VERB_DONE;
}

int status_verb(int argc, char **argv)
{
	const bool ready = argc == 2 && !strcmp(argv[1], "--ready");
	const bool again = argc == 2 && !strcmp(argv[1], "-w");

	if (argc > 1 && !ready && !again)
		return verb_usage("cells status [--ready | -w]");
	if (!again)
		return once(ready);
	for (;;) {
		if (!verb_json()) /* else a line each time */
			printf("\033[H\033[2J");
		(void)once(false);
		fflush(stdout);
		clk_sleep_ms(AGAIN_MS);
	}
}
