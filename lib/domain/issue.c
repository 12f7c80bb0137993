/* An answer is read as strictly as a question: what another cell says decides about money. */
#include "domain/issue.h"

#include "base/clk.h"
#include "base/jw.h"
#include "base/parse.h"
#include "domain/states.h"
#include "domain/topology.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { BODY_BYTES = 1024, PATH_BYTES = 80 };
#define TRACKING_PATH "/internal/v1/tracking/"
#define GRANT_PATH "/internal/v1/subsidies/"
/* A number of the path that ends in the slot. */
enum { SLOT_NUMBER_BASE = 1000 };

void issue_write(jw_t *w, const issue_order *o)
{
	jw_obj(w, NULL);
	jw_str(w, "issuer", o->s.issuer);
	jw_str(w, "out_order_no", o->s.out_order_no);
	jw_i64(w, "uid", (int64_t)o->s.uid);
	jw_i64(w, "amount", o->s.amount_fen);
	jw_str(w, "campaign", o->campaign);
	jw_i64(w, "expires_at", o->s.expires_at_ms);
	jw_i64(w, "subsidy_id", (int64_t)o->s.subsidy_id);
	jw_i64(w, "state", o->s.state);
	jw_bool(w, "made", o->made);
	jw_obj_end(w);
}

static bool text_of(const json_t *o, const char *key, char *out, size_t room)
{
	const json_t *v = json_object_get(o, key);
	const char *s = json_string_value(v);
	const size_t n = json_string_length(v);
	if (!s || n == 0 || n >= room || strlen(s) != n)
		return false;
	memcpy(out, s, n + 1);
	return true;
}

static bool int_of(const json_t *o, const char *key, int64_t least, int64_t *out)
{
	const json_t *v = json_object_get(o, key);
	if (!json_is_integer(v) || json_integer_value(v) < least)
		return false;
	*out = json_integer_value(v);
	return true;
}

err_t issue_read(const char *body, size_t n, issue_order *out)
{
	issue_order got = {0};
	int64_t uid, id, state;
	json_t *o = json_loadb(body, n, JSON_REJECT_DUPLICATES, NULL);
	err_t e = ERR_OK;
	if (!json_is_object(o))
		e = ERR_INVALID_JSON;
	else if (!text_of(o, "issuer", got.s.issuer, sizeof got.s.issuer) ||
		 !text_of(o, "out_order_no", got.s.out_order_no, sizeof got.s.out_order_no) ||
		 !text_of(o, "campaign", got.campaign, sizeof got.campaign) ||
		 !int_of(o, "uid", 1, &uid) || !int_of(o, "amount", 1, &got.s.amount_fen) ||
		 !int_of(o, "expires_at", 1, &got.s.expires_at_ms) ||
		 !int_of(o, "subsidy_id", 0, &id) || !int_of(o, "state", 0, &state) ||
		 !json_is_boolean(json_object_get(o, "made")) || !subsidy_partner_ok(got.s.issuer))
		e = ERR_INVALID_FIELD;
	got.made = json_is_true(json_object_get(o, "made"));
	json_decref(o);
	if (e != ERR_OK)
		return e;
	got.s.uid = (uint64_t)uid;
	got.s.subsidy_id = (uint64_t)id;
	got.s.state = (unsigned)state;
	*out = got;
	return ERR_OK;
}

static err_t ask(peer_t *peer, const char *path, unsigned slot, const issue_order *o,
	const char *traceparent, issue_order *out)
{
	char body[BODY_BYTES];
	peer_answer a;
	issue_order got;
	jw_t w;
	jw_start_fixed(&w, body, sizeof body);
	issue_write(&w, o);
	const size_t n = jw_end(&w);
	BUG_ON(n == 0);
	err_t e = peer_post(peer, path, slot, body, n, traceparent, &a);
	if (e != ERR_OK)
		return e;
	/* About the very number that was asked about, or it is no answer. */
	if (issue_read(a.body, a.len, &got) != ERR_OK || got.s.subsidy_id == 0 ||
		got.s.uid != o->s.uid || got.s.amount_fen != o->s.amount_fen ||
		strcmp(got.s.out_order_no, o->s.out_order_no) != 0 ||
		strcmp(got.s.issuer, o->s.issuer) != 0)
		return ERR_OUTCOME_UNKNOWN;
	*out = got;
	return ERR_OK;
}

err_t issue_track(peer_t *peer, const issue_order *o, const char *traceparent, issue_order *tracked)
{
	char path[PATH_BYTES];
	const unsigned slot = subsidy_slot(o->s.issuer, o->s.out_order_no);
	snprintf(path, sizeof path, TRACKING_PATH "%u", SLOT_NUMBER_BASE + slot);
	return ask(peer, path, slot, o, traceparent, tracked);
}

err_t issue_grant(
	peer_t *peer, const issue_order *tracked, const char *traceparent, issue_order *granted)
{
	char path[PATH_BYTES];
	snprintf(path, sizeof path, GRANT_PATH "%llu", (unsigned long long)tracked->s.subsidy_id);
	return ask(peer, path, (unsigned)(tracked->s.subsidy_id % TOPOLOGY_SLOTS), tracked,
		traceparent, granted);
}
