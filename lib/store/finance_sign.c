/* The pure half of the finance protocol: signatures, names, and the body of a callback. It knows no
 * HTTP, so that hb-finance-sim and the programs that receive callbacks use the very same code as
 * the client. The mac is computed over lines whose fields cannot hold a newline; that is checked
 * while parsing, so no two inputs share a mac. */
#include "store/finance.h"

#include "base/clk.h"
#include "base/parse.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { MAC_BYTES = 32, MAC_B64_BYTES = 44, SIGNATURE_PARTS = 6, MESSAGE_BYTES = 1024 };

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

/* "v1\n<merchant>\n<unix seconds>\n<id>\n<METHOD>\n"; the path and the body's hash follow it. */
static size_t message_head(char out[MESSAGE_BYTES], const char *merchant, int64_t unix_s,
	const char *id, const char *method)
{
	int n = snprintf(out, MESSAGE_BYTES, "v1\n%s\n%lld\n%s\n%s\n", merchant, (long long)unix_s,
		id, method);
	BUG_ON(n <= 0 || n >= MESSAGE_BYTES);
	return (size_t)n;
}

static void body_line(const void *body, size_t n, char out[2 * MAC_BYTES + 2])
{
	uint8_t hash[32];
	keys_sha256(body, n, hash);
	out[0] = '\n';
	parse_to_hex(hash, sizeof hash, out + 1);
}

void finance_sign(const keys_ring_t *keys, const char *merchant, int64_t unix_s, const char *id,
	const char *method, const char *path, const void *body, size_t n, char header[256])
{
	char head[MESSAGE_BYTES], tail[2 * MAC_BYTES + 2], b64[MAC_B64_BYTES];
	uint8_t mac[MAC_BYTES];
	size_t head_len = message_head(head, merchant, unix_s, id, method);
	body_line(body, n, tail);
	keys_part parts[] = {{head, head_len}, {path, strlen(path)}, {tail, strlen(tail)}};
	keys_sign(keys, parts, COUNT(parts), mac);
	parse_to_b64(mac, sizeof mac, b64, sizeof b64);
	int len = snprintf(header, 256, "v1 %s %lld %s %s %s", merchant, (long long)unix_s, id,
		keys_current_id(keys), b64);
	BUG_ON(len <= 0 || len >= 256);
}

/* Splits at single spaces into exactly `count` parts, none of them empty. */
static bool split_exactly(char *text, char **parts, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		parts[i] = text;
		char *space = strchr(text, ' ');
		if ((i + 1 < count) != (space != NULL))
			return false;
		if (space) {
			*space = 0;
			text = space + 1;
		}
		if (parts[i][0] == 0)
			return false;
	}
	return true;
}

static bool id_ok(const char *id)
{
	size_t n = strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-");
	return n >= 1 && n <= 64 && id[n] == 0;
}

err_t finance_verify(const keys_ring_t *keys, const char *merchant, int64_t now_s, int64_t skew_s,
	const char *header, const char *method, const char *path, const void *body, size_t n,
	char id[65])
{
	char copy[256], head[MESSAGE_BYTES], tail[2 * MAC_BYTES + 2], *part[SIGNATURE_PARTS];
	uint8_t mac[MAC_BYTES];
	uint64_t at;
	size_t got;
	if (!header || strlen(header) >= sizeof copy)
		return ERR_SIGNATURE_INVALID;
	memcpy(copy, header, strlen(header) + 1);
	if (!split_exactly(copy, part, SIGNATURE_PARTS) || strcmp(part[0], "v1") != 0 ||
		strcmp(part[1], merchant) != 0 || !parse_u64(part[2], 99999999999, &at) ||
		!id_ok(part[3]) || !parse_b64(part[5], strlen(part[5]), mac, sizeof mac, &got) ||
		got != sizeof mac)
		return ERR_SIGNATURE_INVALID;
	if ((int64_t)at < now_s - skew_s || (int64_t)at > now_s + skew_s || strlen(method) > 16)
		return ERR_SIGNATURE_INVALID;
	size_t head_len = message_head(head, merchant, (int64_t)at, part[3], method);
	body_line(body, n, tail);
	keys_part parts[] = {{head, head_len}, {path, strlen(path)}, {tail, strlen(tail)}};
	if (!keys_verify(keys, part[4], parts, COUNT(parts), mac))
		return ERR_SIGNATURE_INVALID;
	memcpy(id, part[3], strlen(part[3]) + 1);
	return ERR_OK;
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
