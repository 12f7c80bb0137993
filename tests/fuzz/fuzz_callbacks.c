/* callbacks: what finance says, of its own accord (a callback's body) and when asked (an answer's). What is
 * accepted says the same when it is written anew; an answer about another order is none.
 * Input: which of the two (1 byte), the kind asked about (1), the status (1), the order asked about (8), the
 * body. */
#include "base/jw.h"
#include "base/parse.h"
#include "store/finance.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
#include <string.h>

enum { BODY_BYTES = 1024 };

static size_t write_event(const finance_event *e, char out[BODY_BYTES])
{
	jw_t w;
	jw_start_fixed(&w, out, BODY_BYTES);
	jw_obj(&w, NULL);
	jw_id(&w, "order_no", e->order_no);
	jw_str(&w, "kind", finance_kind_name(e->kind));
	jw_str(&w, "outcome", finance_outcome_name(e->outcome));
	jw_money(&w, "amount", e->amount_fen);
	jw_time(&w, "at", e->at_ms);
	jw_obj_end(&w);
	return jw_end(&w);
}

static void event_case(const char *body, size_t n)
{
	finance_event e, again;
	char text[BODY_BYTES];
	const err_t err = finance_parse_event(body, n, &e);
	FUZZ_CHECK(err == ERR_OK || err == ERR_INVALID_JSON || err == ERR_INVALID_FIELD);
	if (err != ERR_OK)
		return;
	FUZZ_CHECK(e.order_no > 0 && e.order_no <= INT64_MAX && e.amount_fen >= 0);
	FUZZ_CHECK(e.kind >= FINANCE_PAYMENT && e.kind <= FINANCE_WITHDRAWAL);
	FUZZ_CHECK(e.outcome >= FINANCE_PENDING && e.outcome <= FINANCE_CLOSED);
	const size_t len = write_event(&e, text);
	FUZZ_CHECK(len > 0 && finance_parse_event(text, len, &again) == ERR_OK);
	FUZZ_CHECK(again.order_no == e.order_no && again.kind == e.kind &&
		   again.outcome == e.outcome && again.amount_fen == e.amount_fen &&
		   again.at_ms == e.at_ms);
}

static size_t write_answer(
	finance_kind kind, uint64_t order_no, const finance_answer *a, char out[BODY_BYTES])
{
	jw_t w;
	jw_start_fixed(&w, out, BODY_BYTES);
	jw_obj(&w, NULL);
	jw_id(&w, "order_no", order_no);
	jw_str(&w, "kind", finance_kind_name(kind));
	jw_str(&w, "outcome", finance_outcome_name(a->outcome));
	jw_money(&w, "amount", a->amount_fen);
	jw_str(&w, "reason", a->reason);
	jw_str(&w, "cashier_url", a->cashier_url);
	jw_obj_end(&w);
	return jw_end(&w);
}

static void answer_case(
	finance_kind kind, uint64_t order_no, long status, const char *body, size_t n)
{
	char code[FINANCE_CODE_BYTES], text[BODY_BYTES];
	finance_answer a, again;
	const err_t err = finance_parse_answer(kind, order_no, status, body, n, &a, code);
	FUZZ_CHECK(parse_text_ok(code, strnlen(code, sizeof code)));
	FUZZ_CHECK(err == ERR_OK || err == ERR_ORDER_CONFLICT || err == ERR_FINANCE_UNAVAILABLE);
	FUZZ_CHECK(err != ERR_ORDER_CONFLICT || status == 409);
	if (err != ERR_OK)
		return;
	FUZZ_CHECK(
		a.amount_fen >= 0 && a.outcome >= FINANCE_NOT_KNOWN && a.outcome <= FINANCE_CLOSED);
	FUZZ_CHECK(a.outcome != FINANCE_DONE || a.amount_fen > 0);
	FUZZ_CHECK(parse_text_ok(a.reason, strlen(a.reason)) &&
		   parse_text_ok(a.cashier_url, strlen(a.cashier_url)));
	if (a.outcome == FINANCE_NOT_KNOWN)
		return;
	FUZZ_CHECK(
		finance_parse_answer(kind, order_no + 1, status, body, n, &again, code) != ERR_OK);
	const size_t len = write_answer(kind, order_no, &a, text);
	FUZZ_CHECK(len > 0 &&
		   finance_parse_answer(kind, order_no, 200, text, len, &again, code) == ERR_OK);
	FUZZ_CHECK(again.outcome == a.outcome && again.amount_fen == a.amount_fen &&
		   strcmp(again.reason, a.reason) == 0 &&
		   strcmp(again.cashier_url, a.cashier_url) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const long statuses[] = {200, 201, 404, 409, 500};
	fuzz_input in = {data, size};
	const bool answer = fuzz_number(&in, 1) & 1;
	const finance_kind kind = (finance_kind)(1 + fuzz_number(&in, 1) % 4);
	const long status = statuses[fuzz_number(&in, 1) % 5];
	const uint64_t order_no = fuzz_number(&in, 8);
	char *body = fuzz_rest(&in);
	if (answer)
		answer_case(kind, order_no, status, body, in.left);
	else
		event_case(body, in.left);
	free(body);
	return 0;
}
