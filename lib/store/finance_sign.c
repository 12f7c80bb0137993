/* The pure half of the finance protocol: signatures, names, and the bodies of callbacks and answers. It
 * knows no HTTP, so that hb-finance-sim and the programs that receive callbacks use the very same code as
 * the client. */
#include "store/finance.h"

#include "base/clk.h"
#include "base/parse.h"
#include "base/signature.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const char *const KINDS[] = {
	[FINANCE_PAYMENT] = "payment",
	[FINANCE_TRANSFER] = "transfer",
	[FINANCE_REFUND] = "refund",
	[FINANCE_WITHDRAWAL] = "withdrawal",
};
static const char *const OUTCOMES[] = {
	[FINANCE_PENDING] = "pending",
	[FINANCE_DONE] = "done",
	[FINANCE_REFUSED] = "refused",
	[FINANCE_CLOSED] = "closed",
};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static unsigned named(const char *const *names, size_t count, const char *name)
{
	for (unsigned i = 1; i < count; i++)
		if (names[i] && strcmp(names[i], name) == 0)
			return i;
	return 0;
}

const char *finance_kind_name(finance_kind k)
{
	return k >= 1 && k < COUNT(KINDS) ? KINDS[k] : "?";
}

finance_kind finance_kind_named(const char *name)
{
	return (finance_kind)named(KINDS, COUNT(KINDS), name);
}

const char *finance_outcome_name(finance_outcome o)
{
	return o >= FINANCE_PENDING && o < COUNT(OUTCOMES) ? OUTCOMES[o] : "?";
}

finance_outcome finance_outcome_named(const char *name)
{
	return (finance_outcome)named(OUTCOMES, COUNT(OUTCOMES), name);
}

void finance_sign(const keys_ring_t *keys, const char *merchant, int64_t unix_s, const char *id,
	const char *method, const char *path, const void *body, size_t n, char header[256])
{
	signature_make(keys, merchant, unix_s, id, method, path, body, n, header);
}

err_t finance_verify(const keys_ring_t *keys, const char *merchant, int64_t now_s, int64_t skew_s,
	const char *header, const char *method, const char *path, const void *body, size_t n,
	char id[65])
{
	return signature_verify(keys, merchant, now_s, skew_s, header, method, path, body, n, id);
}

static bool text_of(const json_t *o, const char *key, const char **out)
{
	const json_t *v = json_object_get(o, key);
	*out = json_string_value(v);
	return *out && strlen(*out) == json_string_length(v);
}

static bool money_of(const json_t *o, const char *key, int64_t *fen)
{
	const json_t *money = json_object_get(o, key), *v = json_object_get(money, "amount");
	const char *currency;
	if (!text_of(money, "currency", &currency) || strcmp(currency, "CNY") != 0 ||
		!json_is_integer(v) || json_integer_value(v) < 0)
		return false;
	*fen = json_integer_value(v);
	return true;
}

err_t finance_parse_event(const char *body, size_t n, finance_event *out)
{
	finance_event e = {0};
	const char *no, *kind, *outcome, *at;
	err_t err = ERR_INVALID_FIELD;
	json_t *o = json_loadb(body, n, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(o)) {
		err = ERR_INVALID_JSON;
		goto out;
	}
	if (!text_of(o, "order_no", &no) || !text_of(o, "kind", &kind) ||
		!text_of(o, "outcome", &outcome) || !text_of(o, "at", &at) ||
		!money_of(o, "amount", &e.amount_fen))
		goto out;
	e.kind = finance_kind_named(kind);
	e.outcome = finance_outcome_named(outcome);
	if (!e.kind || !e.outcome || !parse_u64(no, INT64_MAX, &e.order_no) || e.order_no == 0 ||
		clk_parse_rfc3339(at, &e.at_ms) != ERR_OK)
		goto out;
	*out = e;
	err = ERR_OK;
out:
	json_decref(o);
	return err;
}

/* Whole or not at all: nobody can pay at half an address. */
static void copy_text(char *out, size_t room, const json_t *v)
{
	const char *s = json_string_value(v);
	const size_t n = json_string_length(v);
	const bool fits = s && n < room && parse_text_ok(s, n);
	snprintf(out, room, "%s", fits ? s : "");
}

/* A 200's body: an answer about the order that was asked about, complete and well formed. */
static err_t read_answer(finance_kind kind, uint64_t order_no, const json_t *o, finance_answer *a)
{
	finance_answer got = {0};
	const char *no, *is, *outcome;
	uint64_t number;
	if (!text_of(o, "order_no", &no) || !text_of(o, "kind", &is) ||
		!text_of(o, "outcome", &outcome) || !money_of(o, "amount", &got.amount_fen) ||
		!parse_u64(no, INT64_MAX, &number) || number != order_no ||
		finance_kind_named(is) != kind)
		return ERR_FINANCE_UNAVAILABLE;
	got.outcome = finance_outcome_named(outcome);
	if (!got.outcome || (got.outcome == FINANCE_DONE && got.amount_fen == 0))
		return ERR_FINANCE_UNAVAILABLE;
	copy_text(got.reason, sizeof got.reason, json_object_get(o, "reason"));
	copy_text(got.cashier_url, sizeof got.cashier_url, json_object_get(o, "cashier_url"));
	*a = got;
	return ERR_OK;
}

err_t finance_parse_answer(finance_kind kind, uint64_t order_no, long status, const char *body,
	size_t n, finance_answer *a, char code[FINANCE_CODE_BYTES])
{
	err_t err = ERR_FINANCE_UNAVAILABLE;
	json_t *o = json_loadb(body, n, JSON_REJECT_DUPLICATES, NULL);
	copy_text(code, FINANCE_CODE_BYTES, json_object_get(o, "code"));
	if (status == 200 || status == 201) {
		err = read_answer(kind, order_no, o, a);
	} else if (status == 404 && strcmp(code, "ORDER_NOT_KNOWN") == 0) {
		*a = (finance_answer){.outcome = FINANCE_NOT_KNOWN};
		err = ERR_OK;
	} else if (status == 409 && strcmp(code, "ORDER_CONFLICT") == 0) {
		err = ERR_ORDER_CONFLICT;
	}
	json_decref(o);
	return err;
}
