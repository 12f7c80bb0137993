#include "tests/unit/subsidy_fixture.h"

#include "domain/states.h"
#include <pthread.h>

db_pool_t *pool;
db_t *db;
numbers_t *numbers;

int subsidy_set_up(void **state)
{
	db_target t;
	(void)state;
	cell_db_make("hb_test_subsidy", &t);
	assert_int_equal(db_pool_new(&t, THREADS + 2, 2000, &pool), ERR_OK);
	assert_int_equal(numbers_new(pool, 1, 1000, &numbers), ERR_OK);
	assert_int_equal(db_open(&t, &db), ERR_OK);
	return 0;
}

int subsidy_tear_down(void **state)
{
	(void)state;
	cell_db_run(db, "DROP DATABASE hb_test_subsidy");
	db_close(&db);
	numbers_free(&numbers);
	db_pool_free(&pool);
	return 0;
}

int subsidy_fresh(void **state)
{
	(void)state;
	cell_db_run(db, "DELETE FROM tracking; DELETE FROM subsidy; DELETE FROM ledger; "
			"DELETE FROM account; DELETE FROM campaign; DELETE FROM budget_lease");
	cell_db_run(db, "INSERT INTO campaign VALUES (%d, 'demo', 1, 1500, '{}', 1)", CAMPAIGN);
	cell_db_run(db, "INSERT INTO account VALUES (%d, %d, 1000)", LEDGER_CAMPAIGN, CAMPAIGN);
	cell_db_run(db, "INSERT INTO budget_lease VALUES (%d, %d, 500, 't', 1, 1, 5000, 8000, 0)",
		LEASE, CAMPAIGN);
	return 0;
}

token_win the_win(void)
{
	return (token_win){.uid = UID,
		.subsidy_id = win_id,
		.out_order_no = "demo.1.0.5001",
		.lease_id = LEASE,
		.campaign = CAMPAIGN,
		.amount_fen = AMOUNT,
		.expires_at_ms = EXPIRES};
}

static err_t act_tx(db_t *d, void *ctx)
{
	act *a = ctx;
	err_t e = ERR_OK;
	if (a->wins)
		e = subsidy_record_all(d, a->wins, a->win_count, a->now_ms);
	if (a->records)
		e = subsidy_record(d, numbers, &a->win, a->now_ms, &a->row);
	if (e == ERR_OK && a->spends)
		e = subsidy_spend(d, a->win.uid, a->records ? a->row.subsidy_id : a->subsidy_id,
			a->packet_id, a->now_ms, &a->row);
	if (e == ERR_OK && a->expires)
		e = subsidy_expire(d, a->subsidy_id, a->now_ms, &a->did);
	if (e == ERR_OK && a->settles)
		e = subsidy_settle(d, LEASE, a->now_ms, &a->did, &a->returned_fen);
	return e;
}

err_t run(act *a)
{
	return a->err = db_transact(pool, 20, act_tx, a);
}

static void *run_thread(void *ctx)
{
	(void)!run(ctx);
	return NULL;
}

void run_all(act *a, unsigned n)
{
	pthread_t id[THREADS];
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(pthread_create(&id[i], NULL, run_thread, &a[i]), 0);
	for (unsigned i = 0; i < n; i++)
		pthread_join(id[i], NULL);
}

act recording(void)
{
	return (act){.win = the_win(), .records = true, .now_ms = NOW};
}

act spending(uint64_t packet_id)
{
	return (act){.win = the_win(),
		.spends = true,
		.subsidy_id = win_id,
		.packet_id = packet_id,
		.now_ms = NOW};
}

int64_t booked(ledger_booking kind)
{
	return cell_db_number(db,
		"SELECT COALESCE(SUM(amount), 0) FROM ledger WHERE kind = %d AND leg = 1", kind);
}

int64_t campaign_has(void)
{
	return cell_db_number(db, "SELECT balance FROM account WHERE kind = %d", LEDGER_CAMPAIGN);
}
