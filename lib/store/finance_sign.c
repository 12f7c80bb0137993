/* The pure half of the finance protocol: signatures, names, and the body of a callback. It knows no
 * HTTP, so that hb-finance-sim and the programs that receive callbacks use the very same code as
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
