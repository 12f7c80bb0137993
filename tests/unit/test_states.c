/* The table itself, and states_change on a database of the test's own: db_exec is defined here. */
#include "base/metrics.h"
#include "domain/states.h"
#include "tests/unit/unit.h"
#include <stdlib.h>
#include <string.h>

static struct {
	unsigned calls, params;
	sql_id id;
	db_val v[8];
	uint64_t rows;
	err_t result;
} fake;

err_t db_exec(db_t *db, sql_id id, const db_val *v, size_t n, uint64_t *affected)
{
	(void)db;
	fake.calls++;
	fake.id = id;
	fake.params = (unsigned)n;
	assert_true(n <= UNIT_COUNT(fake.v));
	memcpy(fake.v, v, n * sizeof(*v));
	if (!fake.result)
		*affected = fake.rows;
	return fake.result;
}

static err_t change(states_kind k, unsigned from, unsigned to, states_cause cause, bool *changed)
{
	return states_change(NULL, k, 77, from, to, cause, 1000, 2000, changed);
}

static void a_legal_change_compares_and_sets(void **state)
{
	const unsigned paid = states_place(STATES_PAYMENT, STATES_PAYMENT_PAID);
	int64_t before = metrics_get(METRICS_STATE_CHANGES, paid);
	bool changed = false;

	(void)state;
	memset(&fake, 0, sizeof(fake));
	fake.rows = 1;
	assert_int_equal(change(STATES_PAYMENT, STATES_PAYMENT_PENDING, STATES_PAYMENT_PAID,
				 STATES_BY_CALLBACK, &changed),
		ERR_OK);
	assert_true(changed);
	assert_int_equal(fake.id, SQL_STATES_PAYMENT);
	assert_int_equal(fake.params, 5);
	assert_int_equal(fake.v[0].u, STATES_PAYMENT_PAID);
	assert_int_equal(fake.v[1].i, 2000);
	assert_int_equal(fake.v[2].i, 1000);
	assert_int_equal(fake.v[3].u, 77);
	assert_int_equal(fake.v[4].u, STATES_PAYMENT_PENDING);
	assert_int_equal(metrics_get(METRICS_STATE_CHANGES, paid), before + 1);
}

/* A row more in states.def is a value more in metrics.def. */
static void changes_are_counted_under_their_states_names(void **state)
{
	static const struct {
		const char *kind;
		states_kind k;
		unsigned number;
	} rows[] = {
#define STATE(kind, name, number, shown, final) {#kind, STATES_##kind, number},
#define CHANGE(kind, from, to, cause)
#include "domain/states.def"
#undef STATE
#undef CHANGE
	};
	char label[64], want[64];

	(void)state;
	for (unsigned i = 0; i < UNIT_COUNT(rows); i++) {
		metrics_label(
			METRICS_STATE_CHANGES, states_place(rows[i].k, rows[i].number), label);
		snprintf(want, sizeof(want), "%s,%s", rows[i].kind,
			states_shown(rows[i].k, rows[i].number));
		assert_int_equal(strcasecmp(label, want), 0);
	}
	metrics_label(METRICS_STATE_CHANGES, UNIT_COUNT(rows), label);
	assert_string_equal(label, "");
}

static void a_packet_has_no_time_of_change(void **state)
{
	bool changed = false;

	(void)state;
	memset(&fake, 0, sizeof(fake));
	fake.rows = 1;
	assert_int_equal(change(STATES_PACKET, STATES_PACKET_OPEN, STATES_PACKET_REFUNDING,
				 STATES_BY_EXPIRE, &changed),
		ERR_OK);
	assert_int_equal(fake.id, SQL_STATES_PACKET);
	assert_int_equal(fake.params, 4);
	assert_int_equal(fake.v[1].i, 2000);
	assert_int_equal(fake.v[2].u, 77);
	assert_int_equal(fake.v[3].u, STATES_PACKET_OPEN);
}

static void somebody_else_was_first(void **state)
{
	bool changed = true;

	(void)state;
	memset(&fake, 0, sizeof(fake));
	assert_int_equal(change(STATES_REFUND, STATES_REFUND_PENDING, STATES_REFUND_DONE,
				 STATES_BY_CALLBACK, &changed),
		ERR_OK);
	assert_false(changed);
	fake.result = ERR_DB_RETRY;
	changed = true;
	assert_int_equal(change(STATES_REFUND, STATES_REFUND_PENDING, STATES_REFUND_DONE,
				 STATES_BY_CALLBACK, &changed),
		ERR_DB_RETRY);
	assert_true(changed);
}

static void an_illegal_change_is_refused_and_counted(void **state)
{
	static const struct {
		states_kind kind;
		unsigned from, to;
		states_cause cause;
	} rows[] = {
		{STATES_PACKET, STATES_PACKET_UNPAID, STATES_PACKET_OPEN, STATES_BY_SWEEP},
		{STATES_PACKET, STATES_PACKET_CLOSED, STATES_PACKET_OPEN, STATES_BY_CALLBACK},
		{STATES_PACKET, STATES_PACKET_OPEN, STATES_PACKET_OPEN, STATES_BY_CLAIM},
		{STATES_PACKET, 0, STATES_PACKET_OPEN, STATES_BY_CALLBACK},
		{STATES_PAYMENT, STATES_PAYMENT_CLOSED, STATES_PAYMENT_PAID, STATES_BY_CALLBACK},
		{STATES_TRANSFER, STATES_TRANSFER_DONE, STATES_TRANSFER_REFUSED,
			STATES_BY_CALLBACK},
		{STATES_REFUND, STATES_REFUND_PENDING, 99, STATES_BY_CALLBACK},
	};
	int64_t before = metrics_get(METRICS_STATE_REFUSED, 0);
	bool changed = true;

	(void)state;
	memset(&fake, 0, sizeof(fake));
	for (size_t i = 0; i < UNIT_COUNT(rows); i++)
		assert_int_equal(
			change(rows[i].kind, rows[i].from, rows[i].to, rows[i].cause, &changed),
			ERR_STATE_REFUSED);
	assert_int_equal(fake.calls, 0);
	assert_int_equal(metrics_get(METRICS_STATE_REFUSED, 0), before + (int64_t)UNIT_COUNT(rows));
}

static void the_rows_hang_together(void **state)
{
	static const struct {
		states_kind kind;
		unsigned number, final;
	} rows[] = {
#define STATE(kind, name, number, shown, final) {STATES_##kind, number, final},
#define CHANGE(kind, from, to, cause)
#include "domain/states.def"
#undef STATE
#undef CHANGE
	};

	(void)state;
	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		states_kind k = rows[i].kind;
		bool leaves = false;

		assert_string_not_equal(states_shown(k, rows[i].number), "?");
		for (size_t j = 0; j < i; j++)
			assert_false(rows[j].kind == k && rows[j].number == rows[i].number);
		for (unsigned to = 0; to < 256; to++)
			for (int cause = STATES_BY_CALLBACK; cause <= STATES_BY_SETTLE; cause++)
				leaves |= states_legal(k, rows[i].number, to, (states_cause)cause);
		assert_int_equal(states_final(k, rows[i].number), rows[i].final != 0);
		if (rows[i].final == 1)
			assert_false(leaves);
	}
	/* Only a payment that was closed may be woken, and only by money. */
	for (unsigned to = 0; to < 256; to++)
		for (int cause = STATES_BY_CALLBACK; cause <= STATES_BY_SETTLE; cause++)
			if (states_legal(
				    STATES_PAYMENT, STATES_PAYMENT_CLOSED, to, (states_cause)cause))
				assert_int_equal(to, STATES_PAYMENT_REFUNDING);
	assert_string_equal(states_shown(STATES_PACKET, 0), "?");
	assert_false(states_final(STATES_PACKET, 0));
}

static void the_prints_hold_every_kind(void **state)
{
	char *text = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);

	(void)state;
	states_print_dot(to);
	states_print_markdown(to);
	fclose(to);
	assert_non_null(strstr(text, "packet_1 -> packet_2 [label=\"finance's word\"]"));
	assert_non_null(strstr(text, "packet_3 [label=\"exhausted\", peripheries=2]"));
	assert_non_null(strstr(text, "## refund\n"));
	assert_non_null(strstr(text, "| pending | closing | sweep |"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_legal_change_compares_and_sets),
		cmocka_unit_test(changes_are_counted_under_their_states_names),
		cmocka_unit_test(a_packet_has_no_time_of_change),
		cmocka_unit_test(somebody_else_was_first),
		cmocka_unit_test(an_illegal_change_is_refused_and_counted),
		cmocka_unit_test(the_rows_hang_together),
		cmocka_unit_test(the_prints_hold_every_kind),
	};

	return cmocka_run_group_tests_name("states", tests, NULL, NULL);
}
