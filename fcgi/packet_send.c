/* Why: a b2c packet is paid by its subsidy, so one transaction of ours is all of it. Of c2c the
 * packet and its payment are made first, in our own database, and only then finance is asked, outside any transaction and under the number that is already stored; so whatever happens
 * to this program or to the answer, the same request can be sent again and asks finance for the
 * same order. The answer is always the first one: an unpaid packet and a pending payment, or an open
 * packet. */
#include "base/logger.h"
#include "base/metrics.h"
#include "base/parse.h"
#include "domain/orders.h"
#include "domain/packet.h"
#include "domain/session.h"
#include "fcgi/handlers.h"
#include "fcgi/views.h"
#include <stdio.h>
#include <string.h>

enum { URL_BYTES = 300 };

typedef struct {
	int kind, split, scope;
	int64_t total_fen, count;
	const char *greeting, *video_id, *nonce;
	http_ids invited;
	uint64_t seed_id, subsidy_id; /* 0: not given */
	const char *subsidy_token;    /* NULL: not given */
	token_win win;                /* what is in it */
} send_body;

static const int64_t no_total = INT64_MIN;

/* In the order of their stored numbers. */
static const char *const kinds[] = {"c2c", "b2c", NULL};
static const char *const splits[] = {"lucky", "equal", NULL};
static const char *const scopes[] = {"public", "invited", "friends", "fans", NULL};

#define AT(member) offsetof(send_body, member)
static const http_field send_fields[] = {
	{"kind", HTTP_F_ENUM, true, AT(kind), 0, 0, kinds},
	{"split", HTTP_F_ENUM, true, AT(split), 0, 0, splits},
	{"total", HTTP_F_MONEY, false, AT(total_fen), 0, 0, NULL},
	{"subsidy_id", HTTP_F_ID, false, AT(subsidy_id), 0, 0, NULL},
	{"subsidy_token", HTTP_F_TEXT, false, AT(subsidy_token), 0, HTTP_BODY_MAX_BYTES, NULL},
	{"count", HTTP_F_INT, true, AT(count), 1, UINT32_MAX, NULL},
	{"greeting", HTTP_F_TEXT, false, AT(greeting), 0, PACKET_GREETING_MAX_CHARS, NULL},
	{"video_id", HTTP_F_TOKEN, false, AT(video_id), 1, PACKET_VIDEO_MAX_BYTES, NULL},
	{"scope", HTTP_F_ENUM, false, AT(scope), 0, 0, scopes},
	{"invited", HTTP_F_IDS, false, AT(invited), 1, PACKET_INVITED_MAX, NULL},
	{"seed_id", HTTP_F_ID, false, AT(seed_id), 0, 0, NULL},
	{"client_nonce", HTTP_F_TEXT, false, AT(nonce), 0, PACKET_NONCE_MAX_BYTES, NULL},
};
#undef AT

static err_t invited_check(http_req_t *r, const send_body *b)
{
	if (b->scope == PACKET_INVITED && b->invited.count == 0)
		return http_field_error_add(
			r, "invited", "required", "scope invited needs a list of uids");
	if (b->scope != PACKET_INVITED && b->invited.count != 0)
		return http_field_error_add(r, "invited", "unexpected", "only with scope invited");
	for (size_t i = 0; i < b->invited.count; i++)
		if (b->invited.id[i] > SESSION_UID_MAX)
			return http_field_error_add(r, "invited", "range", "not a uid");
	return ERR_OK;
}

/* What pays: a total, or one subsidy. */
static err_t source_check(http_req_t *r, const send_body *b)
{
	const bool c2c = b->kind == PACKET_C2C, total = b->total_fen != no_total;
	if (total != c2c)
		return http_field_error_add(r, "total", c2c ? "required" : "unexpected",
			c2c ? "is missing" : "the subsidy says how much it is");
	if (b->subsidy_id && (c2c || b->subsidy_token))
		return http_field_error_add(r, "subsidy_id", "unexpected",
			c2c ? "only with kind b2c" : "not together with subsidy_token");
	if (b->subsidy_token && c2c)
		return http_field_error_add(r, "subsidy_token", "unexpected", "only with kind b2c");
	if (!c2c && !b->subsidy_id && !b->subsidy_token)
		return http_field_error_add(
			r, "subsidy_id", "required", "or subsidy_token: what kind b2c spends");
	return ERR_OK;
}

/* What rows of fields cannot say. */
static err_t fields_check(app_call_t *c, const send_body *b)
{
	http_req_t *r = c->r;
	const int64_t count_max = conf_i(c->app->p->conf, CONF_PACKET_MAX_COUNT);
	const err_t e = source_check(r, b);
	if (e != ERR_OK)
		return e;
	if (b->count > count_max)
		return http_field_error_add(r, "count", "range", "more shares than allowed");
	if (strlen(b->nonce) > PACKET_NONCE_MAX_BYTES)
		return http_field_error_add(
			r, "client_nonce", "range", "at most 64 bytes of UTF-8");
	return invited_check(r, b);
}

static err_t amount_check(app_call_t *c, const send_body *b)
{
	const conf_t *conf = c->app->p->conf;
	const int64_t least = conf_i(conf, CONF_PACKET_MIN_FEN),
		      most = conf_i(conf, CONF_PACKET_MAX_FEN),
		      share = conf_i(conf, CONF_PACKET_MAX_SHARE_FEN);
	if (b->total_fen < least || b->total_fen > most) {
		c->r->detail = arena_printf(c->r->arena, "total must be %lld to %lld fen",
			(long long)least, (long long)most);
		return ERR_AMOUNT_OUT_OF_RANGE;
	}
	if (b->total_fen < b->count)
		return ERR_SHARE_TOO_SMALL;
	if (b->total_fen > share * b->count) {
		c->r->detail = arena_printf(
			c->r->arena, "total / count must be at most %lld fen", (long long)share);
		return ERR_AMOUNT_OUT_OF_RANGE;
	}
	return ERR_OK;
}

static packet_order order_of(const app_call_t *c, const send_body *b)
{
	const conf_t *conf = c->app->p->conf;
	packet_order o = {.uid = c->uid,
		.kind = (packet_kind)b->kind,
		.split = (split_kind)b->split,
		.scope = (packet_scope)b->scope,
		.total_fen = b->total_fen,
		.subsidy_id = b->subsidy_id,
		.win = b->subsidy_token ? &b->win : NULL,
		.count = (uint32_t)b->count,
		.greeting = b->greeting,
		.video_id = b->video_id,
		.invited = b->invited.id,
		.invited_count = b->invited.count,
		.seed_id = b->seed_id,
		.nonce = b->nonce,
		.nonce_len = strlen(b->nonce),
		.key = c->r->idempotency_key,
		.now_ms = c->now_ms,
		.payment_ttl_ms = conf_i(conf, CONF_PAYMENT_TTL_S) * 1000,
		.packet_ttl_ms = conf_i(conf, CONF_PACKET_TTL_S) * 1000,
		.check_ms = conf_i(conf, CONF_ORDER_CHECK_MS)};
	keys_sha256(c->r->body, c->r->body_len, o.body_hash);
	return o;
}

typedef struct {
	app_call_t *call;
	uint64_t order_no;
	const finance_answer *answer;
} word_tx;

/* Finance's answer: mostly the cashier's address; of a repeated request perhaps more. */
static err_t word_tx_run(db_t *db, void *ctx)
{
	const word_tx *t = ctx;
	if (*t->answer->cashier_url) {
		const err_t e = payment_set_cashier(db, t->order_no, t->answer->cashier_url);
		if (e != ERR_OK)
			return e;
	}
	return payment_apply(db, t->order_no, t->answer,
		conf_i(t->call->app->p->conf, CONF_PACKET_TTL_S) * 1000, t->call->now_ms);
}

/* Asks finance for the prepayment. The cashier's address is stored as a service to repeats; that
 * it is not stored is no reason to keep it from the payer. */
static err_t prepay(app_call_t *c, packet_sent *s)
{
	const conf_t *conf = c->app->p->conf;
	finance_t *finance;
	err_t e = app_finance(c->app, &finance);
	if (e != ERR_OK)
		return e;
	char notify_url[ORDERS_URL_BYTES], return_url[URL_BYTES];
	orders_notify_url(conf, s->payment.order_no, notify_url);
	snprintf(return_url, sizeof return_url, "%s/#/packet/%llu", conf_s(conf, CONF_FRONT_URL),
		(unsigned long long)s->packet.packet_id);
	const finance_order order = {.order_no = s->payment.order_no,
		.uid = s->payment.payer,
		.amount_fen = s->payment.amount_fen,
		.expires_at_ms = s->payment.expires_at_ms,
		.subject = "红包",
		.return_url = return_url,
		.notify_url = notify_url};
	finance_answer answer;
	e = finance_submit(finance, FINANCE_PAYMENT, &order, &answer);
	if (e == ERR_ORDER_CONFLICT) {
		LOG(ERROR, "packet_send.order_conflict", {"order_no", LOG_U(order.order_no)});
		return ERR_INTERNAL;
	}
	if (e == ERR_FINANCE_UNAVAILABLE) { /* the packet is there already: no refusal */
		c->r->detail = "Finance does not answer; repeat with the same key";
		return ERR_OUTCOME_UNKNOWN;
	}
	if (e != ERR_OK)
		return e;
	word_tx t = {.call = c, .order_no = order.order_no, .answer = &answer};
	e = db_transact(c->app->db, (unsigned)conf_i(conf, CONF_DB_TX_TRIES), word_tx_run, &t);
	if (e != ERR_OK)
		LOG(WARN, "packet_send.word_not_stored", {"order_no", LOG_U(order.order_no)},
			{"error", LOG_E(e)});
	snprintf(s->payment.cashier_url, sizeof s->payment.cashier_url, "%s", answer.cashier_url);
	return ERR_OK;
}

static void answer_write(app_call_t *c, const packet_sent *s)
{
	jw_t *w = &c->r->out;
	c->r->status = 201;
	if (s->replayed)
		http_header(c->r, "Idempotent-Replayed", "true");
	jw_obj(w, NULL);
	views_packet(w, "packet", &s->packet, s->packet.created_at_ms, VIEWS_COUNTS);
	if (s->packet.kind == PACKET_C2C) {
		jw_obj(w, "payment");
		jw_id(w, "order_no", s->payment.order_no);
		jw_str(w, "cashier_url", *s->payment.cashier_url ? s->payment.cashier_url : NULL);
		jw_str(w, "state", states_shown(STATES_PAYMENT, STATES_PAYMENT_PENDING));
		jw_obj_end(w);
	}
	jw_obj_end(w);
}

static err_t body_read(app_call_t *c, send_body *b)
{
	*b = (send_body){.scope = PACKET_PUBLIC,
		.greeting = "恭喜发财，大吉大利",
		.nonce = "",
		.total_fen = no_total};
	err_t e = http_fields(c->r, send_fields, sizeof send_fields / sizeof *send_fields, b);
	if (e == ERR_OK)
		e = fields_check(c, b);
	if (e != ERR_OK)
		return e;
	if (b->kind == PACKET_C2C)
		return amount_check(c, b);
	return b->subsidy_token
		       ? token_open(c->app->p->seal_keys, c->uid, b->subsidy_token, &b->win)
		       : ERR_OK;
}

/* A win has its number before it is recorded: then the user's list has its token. */
static bool find_win(app_call_t *c, send_body *b)
{
	token_list_entry *entry = arena_alloc(c->r->arena, TOKEN_LIST_MAX * sizeof *entry);
	size_t count;
	bool complete;
	(void)!views_token_list(c, entry, &count, &complete); /* what is there is sealed */
	for (size_t i = 0; i < count; i++)
		if (entry[i].win.subsidy_id == b->subsidy_id) {
			b->win = entry[i].win;
			return true;
		}
	return false;
}

static err_t make_packet(app_call_t *c, const packet_desk *desk, send_body *b, packet_sent *out)
{
	packet_order order = order_of(c, b);
	const err_t e = packet_send(desk, &order, out);
	if (e != ERR_NOT_FOUND || !b->subsidy_id || !find_win(c, b))
		return e;
	order.subsidy_id = 0;
	order.win = &b->win;
	return packet_send(desk, &order, out);
}

err_t handle_packet_send(app_call_t *c)
{
	app_t *a = c->app;
	send_body body;
	err_t e = body_read(c, &body);
	if (e != ERR_OK)
		return e;
	if (flags_off_at(body.kind == PACKET_C2C ? FLAGS_C2C_SEND : FLAGS_B2C_SEND, c->route->id,
		    c->uid))
		return ERR_FEATURE_DEGRADED;
	const packet_desk desk = {.db = a->db,
		.numbers = a->numbers,
		.shares = a->shares,
		.tx_tries = (unsigned)conf_i(a->p->conf, CONF_DB_TX_TRIES),
		.key_wait_ms = conf_i(a->p->conf, CONF_IDEMPOTENCY_WAIT_S) * 1000};
	packet_sent sent;
	e = make_packet(c, &desk, &body, &sent);
	if (e == ERR_INVALID_FIELD)
		return http_field_error_add(c->r, "seed_id", "unknown",
			"not the seed of your next packet; ask /v1/me/seed again");
	if (e == ERR_ORDER_CONFLICT) /* of what the token says with what is recorded; logged */
		return ERR_TOKEN_INVALID;
	if (e != ERR_OK)
		return e;
	/* No path tells the number: hbctl trace comes from the request to its envelope by this line. */
	LOG(INFO, "packet.sent", {"packet_id", LOG_U(sent.packet.packet_id)},
		{"order_no", LOG_U(sent.payment.order_no)}, {"replayed", LOG_I(sent.replayed)});
	if (sent.replayed)
		METRICS_INC(REPLAYS);
	else
		metrics_add(METRICS_PACKETS, sent.packet.kind - PACKET_C2C, 1);
	if (sent.packet.kind == PACKET_C2C && !*sent.payment.cashier_url &&
		sent.payment.state == STATES_PAYMENT_PENDING)
		e = prepay(c, &sent);
	if (e == ERR_OK)
		answer_write(c, &sent);
	return e;
}
