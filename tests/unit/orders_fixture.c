#include "tests/unit/orders_fixture.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

orders_finance fin;
static char name[64]; /* of the database: two programs may run at once */

err_t finance_submit(finance_t *f, finance_kind kind, const finance_order *o, finance_answer *a)
{
	(void)f, (void)kind;
	fin.submits++;
	fin.last = *o;
	snprintf(fin.notify_url, sizeof fin.notify_url, "%s", o->notify_url);
	if (fin.err == ERR_OK)
		*a = (finance_answer){.outcome = fin.submit,
			.amount_fen = fin.amount_fen ? fin.amount_fen : o->amount_fen};
	return fin.err;
}

err_t finance_query(finance_t *f, finance_kind kind, uint64_t order_no, finance_answer *a)
{
	(void)f, (void)kind, (void)order_no;
	fin.queries++;
	void (*meanwhile)(void) = fin.meanwhile;
	fin.meanwhile = NULL;
	if (meanwhile)
		meanwhile();
	if (fin.err == ERR_OK)
		*a = (finance_answer){.outcome = fin.query, .amount_fen = fin.amount_fen};
	if (fin.err == ERR_OK && fin.reason)
		snprintf(a->reason, sizeof a->reason, "%s", fin.reason);
	return fin.err;
}

err_t finance_close(finance_t *f, uint64_t order_no, finance_answer *a)
{
	(void)f, (void)order_no;
	fin.closes++;
	if (fin.err == ERR_OK)
		*a = (finance_answer){.outcome = fin.close, .amount_fen = fin.amount_fen};
	return fin.err;
}

conf_t *conf;
db_pool_t *pool;
db_t *db;
orders_desk desk;
static topology_t topo; /* odd slots are cell 1's, even ones cell 2's */
static numbers_t *numbers;

int orders_set_up(void **state)
{
	char why[256];
	db_target t;
	(void)state;
	snprintf(name, sizeof name, "hb_test_orders_%d", (int)getpid());
	cell_db_make(name, &t);
	assert_int_equal(conf_load(NULL, why, &conf), ERR_OK);
	assert_int_equal(conf_set(conf, "order.stuck_tries", "3", why), ERR_OK);
	assert_int_equal(db_pool_new(&t, 8, 2000, &pool), ERR_OK);
	assert_int_equal(db_open(&t, &db), ERR_OK);
	topo.cell_count = 2;
	for (unsigned i = 0; i < 2; i++)
		topo.cell[i].number = i + 1;
	for (unsigned slot = 0; slot < TOPOLOGY_SLOTS; slot++)
		topo.slot_cell[slot] = slot % 2 ? 0 : 1;
	assert_int_equal(numbers_new(pool, 1, 100, &numbers), ERR_OK);
	desk = (orders_desk){.db = pool, .conf = conf, .numbers = numbers, .topo = &topo};
	return 0;
}

int orders_tear_down(void **state)
{
	(void)state;
	cell_db_run(db, "DROP DATABASE %s", name);
	db_close(&db);
	numbers_free(&numbers);
	db_pool_free(&pool);
	conf_free(&conf);
	return 0;
}

int orders_fresh(void **state)
{
	(void)state;
	char why[256];
	memset(&fin, 0, sizeof fin);
	assert_int_equal(conf_set(conf, "order.refused_transfer", "wallet", why), ERR_OK);
	cell_db_run(db, "DELETE FROM packet; DELETE FROM payment; DELETE FROM claim; "
			"DELETE FROM transfer; DELETE FROM refund; DELETE FROM withdrawal; DELETE "
			"FROM outbox; "
			"DELETE FROM finance_event; DELETE FROM parked; DELETE FROM received; "
			"DELETE FROM ledger; DELETE FROM account; DELETE FROM alert");
	cell_db_run(db,
		"INSERT INTO packet (packet_id, sender, kind, split, scope, state, count, "
		"remaining_count, total, remaining, created_at, expires_at, seed_id, seed, nonce, "
		"commitment, greeting) VALUES (%d, 5001, 1, 1, 1, 2, 3, 2, 100, 70, 1, 5000, 1, "
		"'', '', REPEAT('x', 32), '')",
		PACKET);
	cell_db_run(db,
		"INSERT INTO payment (order_no, packet_id, payer, amount, state, next_check_at, "
		"expires_at, created_at, changed_at) VALUES (%d, %d, 5001, 100, 2, 0, 5000, 1, 1)",
		PAYMENT, PACKET);
	cell_db_run(db, "INSERT INTO claim VALUES (%d, 6002, 0, %d, 30, 7)", PACKET, CLAIM);
	return 0;
}

err_t transact(db_tx_fn fn, void *ctx)
{
	return db_transact(pool, 6, fn, ctx);
}

err_t add_transfer(db_t *d, void *ctx)
{
	bool made;
	return transfer_add(d, ctx, 1000, 2000, &made);
}

transfer_claim the_claim(void)
{
	return (transfer_claim){.claim_no = CLAIM,
		.packet_id = PACKET,
		.uid = 6002,
		.amount_fen = 30,
		.kind = TRANSFER_FINANCE};
}

void make_transfer(void)
{
	transfer_claim c = the_claim();
	assert_int_equal(transact(add_transfer, &c), ERR_OK);
}
