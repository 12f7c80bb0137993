/* Relay and consumers against a real database and a real RabbitMQ, with a finance that answers by
 * itself; the connections to both are cut on the way.
 */
#include "base/clk.h"
#include "base/life.h"
#include "base/metrics.h"
#include "domain/outbox.h"
#include "tests/unit/cell_db.h"
#include "tests/unit/server_tests.h"
#include "tests/unit/unit.h"
#include "workers/role.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 40, ROW_CLAIMS = 50, CLAIMS = ROWS * ROW_CLAIMS, WAIT_MS = 40000, WORKERS = 4 };

static server_address broker;
static proxy_t *proxy;
static topology_t topo;
static conf_t *conf;
static program_t program;
static db_pool_t *pool;
static db_t *db;
static mq_t *mq; /* past the proxy */
static worker_t worker[WORKERS];
static pthread_t thread[WORKERS];

/* Instead of lib/domain/program.c. */
void program_mq_target(const program_t *p, mq_target *out)
{
	(void)p;
	*out = (mq_target){.node = {{"127.0.0.1", proxy_port(proxy)}}, .nodes = 1};
	snprintf(out->user, sizeof out->user, "%s", broker.user);
	snprintf(out->password, sizeof out->password, "%s", broker.password);
	snprintf(out->vhost, sizeof out->vhost, "%s", broker.name);
}

bool program_owns_slot(const program_t *p, unsigned slot)
{
	return topology_cell_of_slot(p->topo, slot) == p->cell;
}

const topology_cell *topology_cell_of_slot(const topology_t *t, unsigned slot)
{
	return &t->cell[t->slot_cell[slot]];
}

/* Cells Y (slots below 500, ours) and Z: not the names of a stack that uses the same RabbitMQ. */
static void make_topology(void)
{
	topo.cell_count = 2;
	strcpy(topo.cell[0].name, "Y");
	strcpy(topo.cell[1].name, "Z");
	for (unsigned s = 0; s < TOPOLOGY_SLOTS; s++)
		topo.slot_cell[s] = s < 500 ? 0 : 1;
}

static void drain(queue_id q, const char *cell)
{
	char name[QUEUE_NAME_BYTES];
	mq_in in;
	mq_t *m;
	mq_target t;
	program_mq_target(&program, &t);
	queue_name(q, cell, name);
	assert_int_equal(mq_open(&t, &m), ERR_OK);
	assert_int_equal(queue_declare(m, conf, q, cell), ERR_OK);
	assert_int_equal(mq_consume(m, name, 100), ERR_OK);
	while (mq_next(m, 500, &in) == ERR_OK)
		assert_int_equal(mq_ack(m, in.tag), ERR_OK);
	mq_close(&m);
}

static void *run(void *ctx)
{
	worker_t *w = ctx;
	w->role->loop(w);
	return NULL;
}

static void start_workers(void)
{
	static const role_row rows[WORKERS] = {
		{.name = "relay", .loop = relay_run},
		{.name = "relay", .loop = relay_run},
		{.name = "transfer",
			.loop = consume_run,
			.handler = transfer_handle,
			.queue = QUEUE_TRANSFER},
		{.name = "inbox",
			.loop = consume_run,
			.handler = inbox_handle,
			.queue = QUEUE_INBOX},
	};
	finance_target t = {.mock = true};
	for (unsigned i = 0; i < WORKERS; i++) {
		worker[i] = (worker_t){.role = &rows[i], .p = &program, .db = pool};
		worker[i].desk = (orders_desk){.db = pool, .conf = conf};
		assert_int_equal(finance_new(&t, &worker[i].desk.finance), ERR_OK);
		assert_int_equal(pthread_create(&thread[i], NULL, run, &worker[i]), 0);
	}
}

static int set_up(void **state)
{
	char why[256];
	db_target t;
	mq_target m;
	(void)state;
	assert_int_equal(life_start(NULL, NULL), ERR_OK);
	server_from_env("HB_TEST_MQ", true, &broker);
	proxy = proxy_start(&broker);
	make_topology();
	cell_db_make("hb_test_relay", &t);
	assert_int_equal(conf_load(NULL, why, &conf), ERR_OK);
	program = (program_t){.conf = conf, .topo = &topo, .cell = &topo.cell[0], .epoch = 1};
	assert_int_equal(db_open(&t, &db), ERR_OK);
	assert_int_equal(db_pool_new(&t, WORKERS + 1, 2000, &pool), ERR_OK);
	for (queue_id q = 0; q < QUEUE_PARKED; q++)
		drain(q, "Y");
	drain(QUEUE_INBOX, "Z");
	program_mq_target(&program, &m);
	snprintf(m.node[0].host, sizeof m.node[0].host, "%s", broker.host);
	m.node[0].port = broker.port;
	assert_int_equal(mq_open(&m, &mq), ERR_OK);
	start_workers();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	mq_close(&mq);
	proxy_stop(&proxy);
	cell_db_run(db, "DROP DATABASE hb_test_relay");
	db_close(&db);
	db_pool_free(&pool);
	conf_free(&conf);
	return 0;
}

/* Waits until the query says `want`. */
static void await(int64_t want, const char *sql)
{
	int64_t until = clk_mono_ms() + unit_patience_ms(WAIT_MS), got;
	while ((got = cell_db_number(db, "%s", sql)) != want && clk_mono_ms() < until)
		usleep(20000);
	if (got != want)
		fail_msg("%s: %lld instead of %lld", sql, (long long)got, (long long)want);
}

/* One transaction as the claim lane makes it: claims of one packet and one outbox row. */
static void claim_row(unsigned row)
{
	static char payload[ROW_CLAIMS * 160];
	size_t n = 0;
	uint64_t packet = 500000101001ULL + row * 100000ULL;
	cell_db_run(db, "BEGIN");
	cell_db_run(db,
		"INSERT INTO packet (packet_id, sender, kind, split, scope, state, count, "
		"remaining_count, total, remaining, created_at, expires_at, seed_id, seed, nonce, "
		"commitment, greeting) VALUES (%llu, 1001, 1, 1, 1, 3, %u, 0, 1, 0, 1, 1, 1, '', "
		"'', REPEAT('x', 32), '')",
		(unsigned long long)packet, (unsigned)ROW_CLAIMS);
	for (unsigned i = 0; i < ROW_CLAIMS; i++) {
		uint64_t no = 600000001001ULL + (row * ROW_CLAIMS + i) * 100000ULL;
		uint64_t uid = (i % 2 ? 7000600 : 7000100) + i * 1000;
		cell_db_run(db, "INSERT INTO claim VALUES (%llu, %llu, %u, %llu, %u, 9)",
			(unsigned long long)packet, (unsigned long long)uid, i,
			(unsigned long long)no, i + 1);
		n += (size_t)snprintf(payload + n, sizeof payload - n,
			"%s{\"no\":%llu,\"p\":%llu,\"u\":%llu,\"a\":%u,\"s\":1001,\"k\":1,\"t\":9}",
			i ? "," : "[", (unsigned long long)no, (unsigned long long)packet,
			(unsigned long long)uid, i + 1);
	}
	payload[n++] = ']';
	assert_int_equal(outbox_add(db, OUTBOX_CLAIMS, packet, 9, payload, n), ERR_OK);
	cell_db_run(db, "COMMIT");
}

static void every_claim_is_transferred_although_rabbitmq_is_lost_on_the_way(void **state)
{
	(void)state;
	for (unsigned row = 0; row < ROWS; row++) {
		claim_row(row);
		if (row % 8 == 7)
			proxy_cut(proxy);
	}
	await(CLAIMS, "SELECT COUNT(*) FROM transfer t JOIN claim c ON c.claim_no = t.order_no AND "
		      "c.amount = t.amount AND c.uid = t.payee WHERE t.state = 2");
	await(0, "SELECT COUNT(*) FROM outbox");
	await(CLAIMS / 2, "SELECT COUNT(*) FROM received r JOIN claim c USING (uid, claim_no) "
			  "WHERE r.uid % 1000 = 100 AND r.amount = c.amount");
	await(0, "SELECT COUNT(*) FROM parked");
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM transfer"), CLAIMS);
}

static void the_other_cell_has_what_its_users_received(void **state)
{
	char name[QUEUE_NAME_BYTES];
	uint64_t consumers, ready = 0;
	(void)state;
	queue_name(QUEUE_INBOX, "Z", name);
	assert_int_equal(mq_depth(mq, name, &ready, &consumers), ERR_OK);
	assert_true(ready >= ROWS);
}

static void what_cannot_be_read_is_parked_and_stops_nobody(void **state)
{
	char name[QUEUE_NAME_BYTES];
	static const char *const bad[] = {"{", "[{\"no\":1}]",
		"[{\"no\":1,\"p\":2,\"u\":3,\"a\":4,\"s\":5,\"k\":1,\"t\":6}]"};
	mq_out out[UNIT_COUNT(bad)];
	(void)state;
	queue_name(QUEUE_TRANSFER, "Y", name);
	for (unsigned i = 0; i < UNIT_COUNT(bad); i++)
		out[i] = (mq_out){.queue = name, .body = bad[i], .len = strlen(bad[i])};
	assert_int_equal(outbox_add(db, OUTBOX_CLAIMS, 1, 9, "[{}]", 4), ERR_OK);
	assert_int_equal(mq_publish(mq, out, UNIT_COUNT(bad), 5000), ERR_OK);
	claim_row(ROWS);
	await(CLAIMS + ROW_CLAIMS, "SELECT COUNT(*) FROM transfer WHERE state = 2");
	await(3, "SELECT COUNT(*) FROM parked WHERE queue = 'Y.transfer'");
	await(1, "SELECT COUNT(*) FROM parked WHERE queue = 'outbox kind 1'");
	await(0, "SELECT COUNT(*) FROM outbox");
	await(1, "SELECT COUNT(*) FROM parked WHERE reason = 'ORDER_CONFLICT'");
}

static void a_database_that_drops_its_connections_loses_and_parks_nothing(void **state)
{
	(void)state;
	claim_row(ROWS + 1);
	for (int64_t until = clk_mono_ms() + 1500; clk_mono_ms() < until; usleep(5000))
		cell_db_run(db, "BEGIN NOT ATOMIC DECLARE CONTINUE HANDLER FOR 1094 BEGIN END; "
				"FOR c IN (SELECT id FROM information_schema.processlist WHERE "
				"db = 'hb_test_relay' AND id <> CONNECTION_ID()) DO KILL c.id; "
				"END FOR; END");
	await(CLAIMS + 2 * ROW_CLAIMS, "SELECT COUNT(*) FROM transfer WHERE state = 2");
	await(0, "SELECT COUNT(*) FROM outbox");
	await(4, "SELECT COUNT(*) FROM parked");
}

static void workers_end_soon_when_they_are_told_to(void **state)
{
	(void)state;
	int64_t from = clk_mono_ms();
	life_stop("the test is over");
	for (unsigned i = 0; i < WORKERS; i++) {
		pthread_join(thread[i], NULL);
		finance_free(&worker[i].desk.finance);
	}
	assert_true(clk_mono_ms() - from < 3000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_claim_is_transferred_although_rabbitmq_is_lost_on_the_way),
		cmocka_unit_test(the_other_cell_has_what_its_users_received),
		cmocka_unit_test(what_cannot_be_read_is_parked_and_stops_nobody),
		cmocka_unit_test(a_database_that_drops_its_connections_loses_and_parks_nothing),
		cmocka_unit_test(workers_end_soon_when_they_are_told_to),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
