/* The relay against a queue that is full: RabbitMQ refuses, the outbox keeps what was refused, and
 * everything else goes on. */
#include "base/clk.h"
#include "base/life.h"
#include "domain/outbox.h"
#include "tests/unit/cell_db.h"
#include "tests/unit/server_tests.h"
#include "tests/unit/unit.h"
#include "workers/role.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 600, WAIT_MS = 60000, PUBLISHED_MOST = 200 };

static server_address broker;
static topology_t topo;
static conf_t *conf;
static program_t program;
static db_pool_t *pool;
static db_t *db;
static mq_t *mq;

/* Instead of lib/domain/program.c. */
void program_mq_target(const program_t *p, mq_target *out)
{
	(void)p;
	*out = (mq_target){.node = {{.port = broker.port}}, .nodes = 1};
	snprintf(out->node[0].host, sizeof out->node[0].host, "%s", broker.host);
	snprintf(out->user, sizeof out->user, "%s", broker.user);
	snprintf(out->password, sizeof out->password, "%s", broker.password);
	snprintf(out->vhost, sizeof out->vhost, "%s", broker.name);
}

static void drain(queue_id q)
{
	char name[QUEUE_NAME_BYTES];
	mq_in in;
	mq_t *m;
	mq_target t;
	program_mq_target(&program, &t);
	queue_name(q, topo.cell[0].name, name);
	assert_int_equal(mq_open(&t, &m), ERR_OK);
	assert_int_equal(queue_declare(m, conf, q, topo.cell[0].name), ERR_OK);
	assert_int_equal(mq_consume(m, name, 100), ERR_OK);
	while (mq_next(m, 500, &in) == ERR_OK)
		assert_int_equal(mq_ack(m, in.tag), ERR_OK);
	mq_close(&m);
}

static int set_up(void **state)
{
	char why[256];
	db_target t;
	mq_target m;
	(void)state;
	assert_int_equal(life_start(NULL, NULL), ERR_OK);
	server_from_env("HB_TEST_MQ", true, &broker);
	topo.cell_count = 1;
	strcpy(topo.cell[0].name, "X");
	cell_db_make("hb_test_relay_full", &t);
	assert_int_equal(conf_load(NULL, why, &conf), ERR_OK);
	assert_int_equal(conf_set(conf, "mq.max_length", "1000", why), ERR_OK);
	assert_int_equal(conf_set(conf, "relay.batch", "1", why), ERR_OK);
	program = (program_t){.conf = conf, .topo = &topo, .cell = &topo.cell[0], .epoch = 1};
	assert_int_equal(db_open(&t, &db), ERR_OK);
	assert_int_equal(db_pool_new(&t, 2, 2000, &pool), ERR_OK);
	drain(QUEUE_REFUND);
	drain(QUEUE_CALLBACK);
	program_mq_target(&program, &m);
	assert_int_equal(mq_open(&m, &mq), ERR_OK);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	mq_close(&mq);
	cell_db_run(db, "DROP DATABASE hb_test_relay_full");
	db_close(&db);
	db_pool_free(&pool);
	conf_free(&conf);
	return 0;
}

static void fill(const char *queue)
{
	mq_out m[100];
	unsigned published = 0;
	for (unsigned i = 0; i < UNIT_COUNT(m); i++)
		m[i] = (mq_out){.queue = queue, .body = "[{\"no\":1}]", .len = 10};
	while (mq_publish(mq, m, UNIT_COUNT(m), 5000) == ERR_OK)
		assert_true(++published < PUBLISHED_MOST);
	assert_true(published > 0 && mq_alive(mq));
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

static void *run(void *ctx)
{
	relay_run(ctx);
	return NULL;
}

static void a_full_queue_keeps_its_own_messages_waiting_and_no_others(void **state)
{
	static const role_row role = {.name = "relay", .loop = relay_run};
	worker_t w = {.role = &role, .p = &program, .db = pool};
	pthread_t thread;
	(void)state;
	fill("X.refund");
	cell_db_run(db,
		"INSERT INTO outbox (kind, business_no, created_at, payload) "
		"SELECT %d, seq, 1, CONCAT('[{\"no\":', seq, '}]') FROM seq_1_to_%d",
		OUTBOX_REFUND, ROWS);
	cell_db_run(db,
		"INSERT INTO outbox (kind, business_no, created_at, payload) "
		"VALUES (%d, 7, 1, '[{\"no\":7,\"e\":\"7-done\"}]')",
		OUTBOX_CALLBACK);
	assert_int_equal(pthread_create(&thread, NULL, run, &w), 0);
	await(0, "SELECT COUNT(*) FROM outbox WHERE kind = 3");
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM outbox"), ROWS);
	drain(QUEUE_REFUND);
	await(0, "SELECT COUNT(*) FROM outbox");
	life_stop("the test is over");
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_queue_keeps_its_own_messages_waiting_and_no_others),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
