/* The pure parts of the workers: reading the outbox, routing, pauses, verdicts. */
#include "base/metrics.h"
#include "domain/alert.h"
#include "domain/orders.h"
#include "domain/states.h"
#include "tests/unit/unit.h"
#include "workers/alert_text.h"
#include "workers/consume.h"
#include "workers/expand.h"
#include "workers/outage.h"
#include "workers/watch.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* Slots below 500 are A's, the others B's. */
static topology_t two_cells(void)
{
	topology_t t = {.cell_count = 2};
	strcpy(t.cell[0].name, "A");
	strcpy(t.cell[1].name, "B");
	for (unsigned s = 0; s < TOPOLOGY_SLOTS; s++)
		t.slot_cell[s] = s < 500 ? 0 : 1;
	return t;
}

static void put_secret(const char *folder, const char *name, const char *text)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, 0400), 0);
}

static void the_bot_s_address_may_be_a_secret(void **state)
{
	char folder[] = "/tmp/test_workers.XXXXXX", why[256];
	webhook_target t;
	conf_t *c;

	(void)state;
	assert_non_null(mkdtemp(folder));
	assert_int_equal(conf_load(NULL, why, &c), ERR_OK);
	assert_int_equal(conf_set(c, "paths.secrets", folder, why), ERR_OK);
	assert_int_equal(alert_target(c, &t), ERR_OK);
	assert_string_equal(t.url, "");
	assert_int_equal(conf_set(c, "alert.url", "http://here", why), ERR_OK);
	assert_int_equal(alert_target(c, &t), ERR_OK);
	assert_string_equal(t.url, "http://here");
	put_secret(folder, "alert.url", "http://secret/4711\n");
	put_secret(folder, "alert.secret", "s\n");
	assert_int_equal(alert_target(c, &t), ERR_OK);
	assert_string_equal(t.url, "http://secret/4711");
	assert_string_equal(t.secret, "s");
	unlink(conf_secret_path(c, "alert.url"));
	unlink(conf_secret_path(c, "alert.secret"));
	rmdir(folder);
	conf_free(&c);
}

static void claim_json(char *out, size_t room, uint64_t no, uint64_t uid)
{
	snprintf(out, room,
		"{\"no\":%llu,\"p\":900001001,\"u\":%llu,\"a\":7,\"s\":1001,\"k\":1,"
		"\"t\":1700000000000,\"later\":\"x\"}",
		(unsigned long long)no, (unsigned long long)uid);
}

static size_t claims_json(char *out, size_t room, unsigned count)
{
	size_t n = 0;
	out[n++] = '[';
	for (unsigned i = 0; i < count; i++) {
		char one[200];
		claim_json(one, sizeof one, 800000101001 + 100000ULL * i, i % 2 ? 2600 : 2001);
		n += (size_t)snprintf(out + n, room - n, i ? ",%s" : "%s", one);
	}
	n += (size_t)snprintf(out + n, room - n, "]");
	return n;
}

static void a_row_of_claims_is_read(void **state)
{
	(void)state;
	char json[1000];
	outbox_events e;
	size_t n = claims_json(json, sizeof json, 2);
	assert_int_equal(outbox_parse(OUTBOX_CLAIMS, json, n, &e), ERR_OK);
	assert_int_equal(e.count, 2);
	assert_int_equal(e.event[1].no, 800000201001);
	assert_int_equal(e.event[1].packet_id, 900001001);
	assert_int_equal(e.event[1].uid, 2600);
	assert_int_equal(e.event[1].sender, 1001);
	assert_int_equal(e.event[1].amount_fen, 7);
	assert_int_equal(e.event[1].packet_kind, 1);
	assert_int_equal(e.event[1].claimed_at_ms, 1700000000000);
	outbox_events_free(&e);
	const char *callback = "[{\"no\":5,\"e\":\"ev-1\"}]";
	assert_int_equal(outbox_parse(OUTBOX_CALLBACK, callback, strlen(callback), &e), ERR_OK);
	assert_string_equal(e.event[0].event_id, "ev-1");
	outbox_events_free(&e);
}

static void an_event_brings_its_trace_and_no_message_is_at_fault_for_it(void **state)
{
	(void)state;
	static const char good[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
	static const char text[] =
		"[{\"no\":5},{\"no\":6,\"tp\":\"00-4bf92f3577b34da6a3ce929d0e0e4736-"
		"00f067aa0ba902b7-01\"},"
		"{\"no\":7,\"tp\":\"00-4bf92f3577b34da6a3ce929d0e0e4736\"},{\"no\":8,\"tp\":1}]";
	outbox_events e;
	assert_int_equal(outbox_parse(OUTBOX_REFUND, text, strlen(text), &e), ERR_OK);
	assert_string_equal(e.event[0].traceparent, "");
	assert_string_equal(e.event[1].traceparent, good);
	assert_string_equal(e.event[2].traceparent, "");
	assert_string_equal(e.event[3].traceparent, "");
	outbox_events_free(&e);
}

static void what_is_malformed_is_refused(void **state)
{
	(void)state;
	static const struct {
		outbox_kind kind;
		const char *text;
		err_t want;
	} rows[] = {
		{OUTBOX_REFUND, "", ERR_INVALID_JSON},
		{OUTBOX_REFUND, "[]", ERR_INVALID_JSON},
		{OUTBOX_REFUND, "{\"no\":1}", ERR_INVALID_JSON},
		{OUTBOX_REFUND, "[{\"no\":1}] x", ERR_INVALID_JSON},
		{OUTBOX_REFUND, "[{\"no\":1,\"no\":2}]", ERR_INVALID_JSON},
		{OUTBOX_REFUND, "[{\"no\":9223372036854775808}]", ERR_INVALID_JSON},
		{OUTBOX_REFUND, "[1]", ERR_INVALID_FIELD},
		{OUTBOX_REFUND, "[{\"no\":\"1\"}]", ERR_INVALID_FIELD},
		{OUTBOX_REFUND, "[{\"no\":0}]", ERR_INVALID_FIELD},
		{OUTBOX_REFUND, "[{\"no\":-1}]", ERR_INVALID_FIELD},
		{OUTBOX_REFUND, "[{\"no\":1.0}]", ERR_INVALID_FIELD},
		{OUTBOX_REFUND, "[{\"no\":1},{}]", ERR_INVALID_FIELD},
		{OUTBOX_CHECK, "[{\"no\":1,\"k\":2,\"d\":1}]", ERR_INVALID_FIELD},
		{OUTBOX_CALLBACK, "[{\"no\":1}]", ERR_INVALID_FIELD},
		{OUTBOX_CALLBACK, "[{\"no\":1,\"e\":\"\"}]", ERR_INVALID_FIELD},
		{OUTBOX_CALLBACK, "[{\"no\":1,\"e\":7}]", ERR_INVALID_FIELD},
		{OUTBOX_CLAIMS, "[{\"no\":1}]", ERR_INVALID_FIELD},
		{0, "[{\"no\":1}]", ERR_INVALID_FIELD},
	};
	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		outbox_events e;
		err_t err = outbox_parse(rows[i].kind, rows[i].text, strlen(rows[i].text), &e);
		if (err != rows[i].want)
			fail_msg("%s: %s", rows[i].text, err_code(err));
	}
}

static unsigned messages_to(const mq_out *m, size_t count, const char *queue)
{
	unsigned n = 0;
	for (size_t i = 0; i < count; i++)
		n += strcmp(m[i].queue, queue) == 0;
	return n;
}

static void claims_go_to_their_packets_cell_one_by_one_and_to_their_users_in_bulk(void **state)
{
	(void)state;
	enum { CLAIMS = 200 };
	static char json[CLAIMS * 200];
	topology_t t = two_cells();
	expand_t *x = expand_new(&t);
	const unsigned *row;
	size_t count, n = claims_json(json, sizeof json, CLAIMS);
	assert_int_equal(expand_row(x, 3, OUTBOX_CLAIMS, json, n), ERR_OK);
	const mq_out *m = expand_messages(x, &row, &count);
	assert_int_equal(messages_to(m, count, "A.transfer"), CLAIMS);
	assert_int_equal(messages_to(m, count, "A.inbox"), 2); /* 100 events, 64 a message */
	assert_int_equal(messages_to(m, count, "B.inbox"), 2);
	assert_int_equal(count, CLAIMS + 4);
	unsigned seen = 0;
	for (size_t i = 0; i < count; i++) {
		outbox_events e;
		assert_int_equal(row[i], 3);
		assert_non_null(strstr(m[i].body, "\"later\":\"x\""));
		assert_int_equal(outbox_parse(OUTBOX_CLAIMS, m[i].body, m[i].len, &e), ERR_OK);
		for (size_t k = 0; k < e.count && strstr(m[i].queue, "inbox"); k++, seen++)
			assert_int_equal(e.event[k].uid, m[i].queue[0] == 'A' ? 2001 : 2600);
		outbox_events_free(&e);
	}
	assert_int_equal(seen, CLAIMS);
	expand_free(&x);
}

static void routing_follows_the_owner_of_the_slot(void **state)
{
	(void)state;
	topology_t t = two_cells();
	expand_t *x = expand_new(&t);
	const unsigned *row;
	size_t count;
	const char *refund = "[{\"no\":700000101777}]",
		   *callback = "[{\"no\":700000101007,\"e\":\"a\"}]";
	assert_int_equal(expand_row(x, 0, OUTBOX_REFUND, refund, strlen(refund)), ERR_OK);
	assert_int_equal(expand_row(x, 1, OUTBOX_CALLBACK, callback, strlen(callback)), ERR_OK);
	const mq_out *m = expand_messages(x, &row, &count);
	assert_int_equal(count, 2);
	assert_string_equal(m[0].queue, "B.refund"); /* born in cell 01, but slot 777 is B's now */
	assert_string_equal(m[1].queue, "A.callback");
	assert_int_equal(row[1], 1);
	expand_reset(x);
	expand_messages(x, &row, &count);
	assert_int_equal(count, 0);
	assert_int_equal(expand_row(x, 0, OUTBOX_CLAIMS, "[{}]", 4), ERR_INVALID_FIELD);
	expand_messages(x, &row, &count);
	assert_int_equal(count, 0);
	expand_free(&x);
}

static void a_check_waits_in_the_queue_of_its_delay(void **state)
{
	(void)state;
	topology_t t = two_cells();
	expand_t *x = expand_new(&t);
	const unsigned *row;
	size_t count;
	const char *checks = "[{\"no\":700000101777,\"k\":2,\"d\":1,\"n\":1},"
			     "{\"no\":700000101007,\"k\":3,\"d\":4,\"n\":300}]";
	assert_int_equal(expand_row(x, 0, OUTBOX_CHECK, checks, strlen(checks)), ERR_OK);
	const mq_out *m = expand_messages(x, &row, &count);
	assert_int_equal(count, 2);
	assert_string_equal(m[0].queue, "B.wait1");
	assert_string_equal(m[1].queue, "A.wait4");
	outbox_events e;
	assert_int_equal(outbox_parse(queue_event(QUEUE_CHECK), m[1].body, m[1].len, &e), ERR_OK);
	assert_int_equal(e.count, 1);
	assert_int_equal(e.event[0].no, 700000101007);
	assert_int_equal(e.event[0].order_kind, 3);
	assert_int_equal(e.event[0].nth, 300);
	outbox_events_free(&e);
	expand_free(&x);
}

static void alerts_are_told_together_the_first_lines_and_how_many_more(void **state)
{
	(void)state;
	static alert_row rows[4] = {{1, "one"}, {2, "two"}, {3, "three"}, {4, "four"}};
	char text[200], small[80];
	alert_text("A", rows, 1, 20, text, sizeof text);
	assert_string_equal(text, "hongbao, cell A: 1 alert\n- one");
	alert_text("A", rows, 4, 2, text, sizeof text);
	assert_string_equal(text, "hongbao, cell A: 4 alerts\n- one\n- two\nand 2 more");
	memset(rows[1].text, 'x', sizeof rows[1].text - 1);
	alert_text("A", rows, 4, 20, small, sizeof small); /* what does not fit is counted */
	assert_string_equal(small, "hongbao, cell A: 4 alerts\n- one\nand 3 more");
}

static void a_bots_message_is_signed_when_it_has_a_secret(void **state)
{
	(void)state;
	static char body[WEBHOOK_BODY_BYTES];
	webhook_target t = {.url = "http://x"};
	assert_true(webhook_body(&t, "a \"b\"\n红", 1700000000, body) > 0);
	assert_string_equal(
		body, "{\"msg_type\":\"text\",\"content\":{\"text\":\"a \\\"b\\\"\\u000a红\"}}");
	strcpy(t.secret, "SECRET");
	assert_true(webhook_body(&t, "a", 1700000000, body) > 0);
	assert_string_equal(body, "{\"timestamp\":\"1700000000\",\"sign\":\"9st/5TeJu7lS2mv/"
				  "qJq3skcz1M5+oBrSVM/mQRjuq8Q=\","
				  "\"msg_type\":\"text\",\"content\":{\"text\":\"a\"}}");
}

static void the_events_of_a_queue_are_known_by_its_name(void **state)
{
	(void)state;
	assert_int_equal(queue_event_named("B.callback"), OUTBOX_CALLBACK);
	assert_int_equal(queue_event_named("A.check"), OUTBOX_CHECK);
	assert_int_equal(queue_event_named("A.parked"), 0);
	assert_int_equal(queue_event_named("the outbox"), 0);
}

static void pauses_grow_to_a_bound_and_differ(void **state)
{
	(void)state;
	outage_t o = {.first_ms = 100, .most_ms = 1000};
	for (unsigned failures = 1; failures < 70; failures++) {
		int64_t whole = failures > 4 ? 1000 : 100 << (failures - 1);
		assert_int_equal(outage_pause_ms(&o, failures, 0), whole);
		for (uint32_t dice = 1; dice < 5000; dice += 7) {
			int64_t p = outage_pause_ms(&o, failures, dice);
			assert_true(p >= whole / 2 && p <= whole);
		}
	}
	assert_int_not_equal(outage_pause_ms(&o, 3, 1), outage_pause_ms(&o, 3, 2));
}

static void outages_are_held_and_faults_are_parked(void **state)
{
	(void)state;
	assert_int_equal(consume_judge(ERR_OK, 1), CONSUME_DONE);
	assert_int_equal(consume_judge(ERR_INVALID_JSON, 1), CONSUME_PARK);
	assert_int_equal(consume_judge(ERR_ORDER_CONFLICT, 1), CONSUME_PARK);
	assert_int_equal(consume_judge(ERR_CELL_UNAVAILABLE, 100000), CONSUME_HOLD);
	assert_int_equal(consume_judge(ERR_OUTCOME_UNKNOWN, 100000), CONSUME_HOLD);
	assert_int_equal(consume_judge(ERR_DB_FAILED, 1), CONSUME_HOLD);
	assert_int_equal(consume_judge(ERR_DB_FAILED, CONSUME_TRIES), CONSUME_PARK);
}

static void finances_word_is_judged_by_amount_and_state(void **state)
{
	(void)state;
	enum { PENDING = 1, DONE = 2, REFUSED = 3, ELSEWHERE = 4 };
	static const orders_states s = {STATES_TRANSFER, PENDING, DONE, REFUSED, {ELSEWHERE}};
	static const struct {
		unsigned state;
		finance_outcome outcome;
		int64_t amount_fen;
		err_t want;
		unsigned to;
	} rows[] = {
		{PENDING, FINANCE_NOT_KNOWN, 0, ERR_OK, 0},
		{PENDING, FINANCE_PENDING, 50, ERR_OK, 0},
		{PENDING, FINANCE_DONE, 50, ERR_OK, DONE},
		{PENDING, FINANCE_DONE, 51, ERR_ORDER_CONFLICT, 0},
		{PENDING, FINANCE_REFUSED, 50, ERR_OK, REFUSED},
		{PENDING, FINANCE_REFUSED, 49, ERR_ORDER_CONFLICT, 0},
		{PENDING, FINANCE_CLOSED, 50, ERR_ORDER_CONFLICT, 0},
		{DONE, FINANCE_DONE, 50, ERR_OK, 0},
		{DONE, FINANCE_DONE, 51, ERR_ORDER_CONFLICT, 0},
		{DONE, FINANCE_REFUSED, 50, ERR_ORDER_CONFLICT, 0},
		{DONE, FINANCE_PENDING, 50, ERR_OK, 0},
		{REFUSED, FINANCE_DONE, 50, ERR_ORDER_CONFLICT, 0},
		{REFUSED, FINANCE_REFUSED, 50, ERR_OK, 0},
		{ELSEWHERE, FINANCE_REFUSED, 50, ERR_OK, 0},
		{ELSEWHERE, FINANCE_REFUSED, 51, ERR_ORDER_CONFLICT, 0},
		{ELSEWHERE, FINANCE_DONE, 50, ERR_ORDER_CONFLICT, 0},
	};
	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		orders_row row = {.kind = FINANCE_TRANSFER,
			.order_no = 1,
			.state = rows[i].state,
			.amount_fen = 50};
		finance_answer a = {.outcome = rows[i].outcome, .amount_fen = rows[i].amount_fen};
		unsigned to = 0;
		err_t err = orders_judge(&row, &s, &a, &to);
		if (err != rows[i].want || to != rows[i].to)
			fail_msg("row %zu: %s, %u", i, err_code(err), to);
	}
}

static void questions_become_rarer_to_a_bound(void **state)
{
	(void)state;
	conf_t *conf;
	char why[256];
	assert_int_equal(conf_load(NULL, why, &conf), ERR_OK);
	assert_int_equal(conf_set(conf, "order.check_ms", "1000", why), ERR_OK);
	assert_int_equal(conf_set(conf, "order.check_max_ms", "60000", why), ERR_OK);
	for (unsigned tries = 0; tries < 100; tries++) {
		int64_t whole = tries > 5 ? 60000 : 1000 << tries;
		int64_t wait = orders_wait_ms(conf, tries);
		assert_true(wait <= whole && wait >= whole - whole / 4);
	}
	conf_free(&conf);
}

static void the_watchs_labels_are_the_queues_and_the_states(void **state)
{
	static const struct {
		const char *kind;
		states_kind k;
		unsigned number;
	} rows[] = {
#define WATCHED(kind, state, statement) {#kind, STATES_##kind, STATES_##kind##_##state},
		WATCH_ORDERS
#undef WATCHED
	};
	char label[64], want[QUEUE_NAME_BYTES];
	(void)state;
	for (queue_id q = 0; q < QUEUE_COUNT; q++) {
		queue_name(q, "A", want);
		metrics_label(METRICS_QUEUE_MESSAGES, q, label);
		assert_string_equal(label, want + 2);
		metrics_label(METRICS_QUEUE_CONSUMERS, q, label);
		assert_string_equal(label, want + 2);
	}
	metrics_label(METRICS_QUEUE_MESSAGES, QUEUE_COUNT, label);
	assert_string_equal(label, "");
	for (unsigned i = 0; i < UNIT_COUNT(rows); i++) {
		char both[64];
		metrics_label(METRICS_ORDERS, i, label);
		snprintf(both, sizeof both, "%s,%s", rows[i].kind,
			states_shown(rows[i].k, rows[i].number));
		assert_int_equal(strcasecmp(label, both), 0);
		assert_false(states_final(rows[i].k, rows[i].number));
	}
	metrics_label(METRICS_ORDERS, UNIT_COUNT(rows), label);
	assert_string_equal(label, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_bot_s_address_may_be_a_secret),
		cmocka_unit_test(a_row_of_claims_is_read),
		cmocka_unit_test(an_event_brings_its_trace_and_no_message_is_at_fault_for_it),
		cmocka_unit_test(what_is_malformed_is_refused),
		cmocka_unit_test(
			claims_go_to_their_packets_cell_one_by_one_and_to_their_users_in_bulk),
		cmocka_unit_test(routing_follows_the_owner_of_the_slot),
		cmocka_unit_test(a_check_waits_in_the_queue_of_its_delay),
		cmocka_unit_test(alerts_are_told_together_the_first_lines_and_how_many_more),
		cmocka_unit_test(a_bots_message_is_signed_when_it_has_a_secret),
		cmocka_unit_test(the_events_of_a_queue_are_known_by_its_name),
		cmocka_unit_test(pauses_grow_to_a_bound_and_differ),
		cmocka_unit_test(outages_are_held_and_faults_are_parked),
		cmocka_unit_test(finances_word_is_judged_by_amount_and_state),
		cmocka_unit_test(questions_become_rarer_to_a_bound),
		cmocka_unit_test(the_watchs_labels_are_the_queues_and_the_states),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
