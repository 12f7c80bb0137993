/* Sends against a real database: what a used, a busy and a lost Idempotency-Key lead to. */
#include "domain/packet.h"
#include "tests/unit/cell_db.h"
#include "tests/unit/finance_ring.h"
#include "tests/unit/unit.h"
#include <string.h>

static db_pool_t *pool;
static db_t *db; /* another request's connection */
static numbers_t *numbers;
static keys_ring_t *ring;
static shares_t *shares;
static packet_desk desk;

static int set_up(void **state)
{
	db_target t;
	(void)state;
	cell_db_make("hb_test_packet", &t);
	t.lock_wait_s = 1;
	ring = finance_ring(FINANCE_KEY_1);
	shares = shares_new(ring, 1 << 20);
	assert_int_equal(db_pool_new(&t, 3, 2000, &pool), ERR_OK);
	assert_int_equal(numbers_new(pool, 1, 1000, &numbers), ERR_OK);
	assert_int_equal(db_open(&t, &db), ERR_OK);
	desk = (packet_desk){.db = pool,
		.numbers = numbers,
		.shares = shares,
		.tx_tries = 6,
		.key_wait_ms = 1000};
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	cell_db_run(db, "DROP DATABASE hb_test_packet");
	db_close(&db);
	numbers_free(&numbers);
	db_pool_free(&pool);
	shares_free(&shares);
	keys_free(&ring);
	return 0;
}

static packet_order order(const char *key)
{
	return (packet_order){.uid = 5001,
		.kind = PACKET_C2C,
		.split = SPLIT_LUCKY,
		.scope = PACKET_PUBLIC,
		.total_fen = 100,
		.count = 3,
		.greeting = "",
		.nonce = "",
		.key = key,
		.now_ms = 1000,
		.payment_ttl_ms = 1000,
		.check_ms = 1000};
}

static void a_key_makes_one_packet_and_tells_of_it_again(void **state)
{
	packet_order o = order("key-once");
	packet_sent first, again;
	(void)state;
	assert_int_equal(packet_send(&desk, &o, &first), ERR_OK);
	assert_false(first.replayed);
	o.now_ms += 500;
	assert_int_equal(packet_send(&desk, &o, &again), ERR_OK);
	assert_true(again.replayed);
	assert_memory_equal(&first.packet, &again.packet, sizeof first.packet);
	assert_memory_equal(&first.payment, &again.payment, sizeof first.payment);
	o.body_hash[0] = 1;
	assert_int_equal(packet_send(&desk, &o, &again), ERR_IDEMPOTENCY_KEY_REUSED);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM packet"), 1);
	assert_int_equal(cell_db_number(db, "SELECT COUNT(*) FROM payment"), 1);
}

/* However long it may wait and however few its tries are. */
static void a_key_that_another_request_holds_is_busy(void **state)
{
	static const struct {
		unsigned tries;
		int64_t wait_ms;
	} cases[] = {{6, 1000}, {1, 30000}};
	const packet_order o = order("key-busy");
	packet_sent sent;
	(void)state;
	cell_db_run(db, "BEGIN; INSERT INTO idempotency VALUES (5001, 1, 'key-busy', '', 1, 1)");
	for (unsigned i = 0; i < UNIT_COUNT(cases); i++) {
		desk.tx_tries = cases[i].tries;
		desk.key_wait_ms = cases[i].wait_ms;
		assert_int_equal(packet_send(&desk, &o, &sent), ERR_IDEMPOTENCY_KEY_BUSY);
	}
	cell_db_run(db, "ROLLBACK");
	assert_int_equal(packet_send(&desk, &o, &sent), ERR_OK);
	assert_false(sent.replayed);
}

static void a_seed_serves_one_packet(void **state)
{
	packet_order o = order("key-seed");
	uint8_t hash[32];
	packet_sent sent;
	(void)state;
	assert_int_equal(packet_next_seed(&desk, o.uid, &o.seed_id, hash), ERR_OK);
	assert_int_equal(packet_send(&desk, &o, &sent), ERR_OK);
	assert_true(sent.packet.seed_id == o.seed_id);
	o.key = "key-seed-2";
	assert_int_equal(packet_send(&desk, &o, &sent), ERR_INVALID_FIELD);
	assert_int_equal(
		cell_db_number(db, "SELECT COUNT(*) FROM idempotency WHERE ikey = 'key-seed-2'"),
		0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_makes_one_packet_and_tells_of_it_again),
		cmocka_unit_test(a_key_that_another_request_holds_is_busy),
		cmocka_unit_test(a_seed_serves_one_packet),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
