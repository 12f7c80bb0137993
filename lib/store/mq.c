/* RabbitMQ through one frame pump. rabbitmq-c's own helpers wait without a bound for the rest of a
 * message and know no publisher confirms, so every frame that the broker sends of its own accord
 * (deliveries, returns, confirms, blocked, closes) passes `pump`, which has a deadline and does
 * each frame's part; publishing and consuming only look at what has been done. A mandatory message
 * that no queue takes is returned first and then acked all the same, so a return is matched to its
 * message by the correlation id, which is the message's sequence number. What is unconfirmed on the
 * way is bounded, so that a broker that stops reading blocks us by its confirms and never in
 * send(); TCP_USER_TIMEOUT ends what blocks there nevertheless. */
#include "store/mq.h"

#include "base/clk.h"
#include "base/keys.h"
#include "base/logger.h"
#include "base/parse.h"
#include "store/mq_headers.h"

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

enum {
	CHANNEL = 1,
	HEARTBEAT_S = 30,
	FRAME_BYTES = 131072,
	CONNECT_MS = 2000,
	RPC_MS = 5000,
	SEND_MS = 10000,
	SILENT_MS = 4000,
	WINDOW_MESSAGES = 256,
	WINDOW_BYTES = 512 * 1024,
	NAME_BYTES = 256,
	TEXT_BYTES = 128,
};

enum { PENDING, CONFIRMED, RETURNED, REFUSED }; /* states of a published message */

struct delivery {
	struct delivery *next;
	uint64_t tag, deliveries;
	char died_in[MQ_DIED_BYTES], died_of[MQ_DIED_BYTES];
	size_t len;
	char body[];
};

/* The messages of one mq_publish; message i has the sequence number base + i. */
struct batch {
	uint64_t base;
	size_t sent, low; /* all before low are settled */
	size_t open, open_bytes;
	uint8_t *state;
	const mq_out *msgs;
};

struct mq {
	amqp_connection_state_t conn;
	bool dead, confirming, blocked;
	int64_t unheard_ms; /* since when something published is without any answer; 0: it is not */
	uint64_t sequence;  /* of the last published message */
	struct batch *batch;
	/* The message that is arriving: its method frame has come, header and body are to follow.
	 */
	enum { ARRIVING_NONE, ARRIVING_DELIVERY, ARRIVING_RETURN } arriving;
	uint64_t arriving_tag;
	size_t arriving_left;
	struct delivery *partial;
	struct delivery *first, **last; /* arrived, not yet handed out */
	struct delivery *current;       /* handed out by mq_next */
};

static err_t lost(mq_t *m, const char *what, const char *why)
{
	if (!m->dead)
		LOG(WARN, "mq.lost", {"during", LOG_S(what)}, {"why", LOG_S(why)});
	m->dead = true;
	return ERR_MQ_UNAVAILABLE;
}

static const char *copy_text(amqp_bytes_t b, char out[TEXT_BYTES])
{
	size_t n = b.len < TEXT_BYTES - 1 ? b.len : TEXT_BYTES - 1;

	memcpy(out, b.bytes, n);
	out[n] = 0;
	return out;
}

/* The broker closes channel or connection; we answer and are done with it. */
static err_t closed(mq_t *m, const char *what, const amqp_method_t *method, uint16_t *code)
{
	char text[TEXT_BYTES];

	if (method->id == AMQP_CHANNEL_CLOSE_METHOD) {
		amqp_channel_close_t *c = method->decoded;
		amqp_channel_close_ok_t ok = {0};

		*code = c->reply_code;
		amqp_send_method(m->conn, CHANNEL, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
		return lost(m, what, copy_text(c->reply_text, text));
	}
	amqp_connection_close_t *c = method->decoded;
	amqp_connection_close_ok_t ok = {0};
	*code = c->reply_code;
	amqp_send_method(m->conn, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &ok);
	return lost(m, what, copy_text(c->reply_text, text));
}

/* Judges the reply of a synchronous call. *code: the broker's, 0 when it is not its word. */
static err_t replied(mq_t *m, const char *what, amqp_rpc_reply_t r, uint16_t *code)
{
	*code = 0;
	if (r.reply_type == AMQP_RESPONSE_NORMAL)
		return ERR_OK;
	if (r.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
		return lost(m, what, amqp_error_string2(r.library_error));
	if (r.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION &&
		(r.reply.id == AMQP_CHANNEL_CLOSE_METHOD ||
			r.reply.id == AMQP_CONNECTION_CLOSE_METHOD))
		return closed(m, what, &r.reply, code);
	return lost(m, what, "unexpected reply");
}

static struct timeval timeval_of(int64_t ms)
{
	if (ms < 0)
		ms = 0;
	return (struct timeval){
		.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
}

static err_t login(mq_t *m, const mq_target *t)
{
	amqp_table_entry_t can[] = {
		{.key = amqp_cstring_bytes("connection.blocked"),
			.value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1}},
		{.key = amqp_cstring_bytes("consumer_cancel_notify"),
			.value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1}},
	};
	amqp_table_entry_t property = {.key = amqp_cstring_bytes("capabilities"),
		.value = {.kind = AMQP_FIELD_KIND_TABLE, .value.table = {2, can}}};
	amqp_table_t properties = {1, &property};
	uint16_t code;
	err_t e = replied(m, "login",
		amqp_login_with_properties(m->conn, t->vhost, CHANNEL, FRAME_BYTES, HEARTBEAT_S,
			&properties, AMQP_SASL_METHOD_PLAIN, t->user, t->password),
		&code);

	if (e == ERR_OK) {
		amqp_channel_open(m->conn, CHANNEL);
		e = replied(m, "channel.open", amqp_get_rpc_reply(m->conn), &code);
	}
	return e;
}

static err_t connect_to(mq_t *m, const mq_target *t, const mq_node *node)
{
	struct timeval connect = timeval_of(CONNECT_MS), rpc = timeval_of(RPC_MS);
	unsigned send_ms = SEND_MS;
	amqp_socket_t *socket = amqp_tcp_socket_new(m->conn);

	BUG_ON(!socket);
	int rc = amqp_socket_open_noblock(socket, node->host, node->port, &connect);
	if (rc != AMQP_STATUS_OK)
		return lost(m, "connect", amqp_error_string2(rc));
	rc = setsockopt(
		amqp_get_sockfd(m->conn), IPPROTO_TCP, TCP_USER_TIMEOUT, &send_ms, sizeof send_ms);
	BUG_ON(rc != 0);
	amqp_set_handshake_timeout(m->conn, &rpc);
	amqp_set_rpc_timeout(m->conn, &rpc);
	return login(m, t);
}

static mq_t *open_at(const mq_target *t, const mq_node *node)
{
	mq_t *m = calloc(1, sizeof *m);

	BUG_ON(!m);
	m->last = &m->first;
	m->conn = amqp_new_connection();
	BUG_ON(!m->conn);
	if (connect_to(m, t, node) != ERR_OK)
		mq_close(&m);
	return m;
}

/* The node that took the last connection; at first by chance, so that the processes spread. A hint:
 * any value is right. */
static unsigned first_node(atomic_uint *last)
{
	unsigned k = atomic_load(last);

	if (k == UINT_MAX) {
		keys_random(&k, sizeof k);
		k %= MQ_NODES_MAX;
		atomic_store(last, k);
	}
	return k;
}

err_t mq_open(const mq_target *t, mq_t **out)
{
	static atomic_uint last = UINT_MAX;
	unsigned first = first_node(&last);

	BUG_ON(t->nodes < 1 || t->nodes > MQ_NODES_MAX);
	for (unsigned i = 0; i < t->nodes; i++) {
		unsigned k = (first + i) % t->nodes;
		mq_t *m = open_at(t, &t->node[k]);

		if (!m)
			continue;
		atomic_store(&last, k);
		*out = m;
		return ERR_OK;
	}
	return ERR_MQ_UNAVAILABLE;
}

void mq_close(mq_t **m)
{
	struct delivery *d;

	if (!*m)
		return;
	/* The closing handshake makes sure that the last acks have arrived; a blocked broker does
	 * not read it. */
	if (!(*m)->dead && !(*m)->blocked)
		amqp_connection_close((*m)->conn, AMQP_REPLY_SUCCESS);
	amqp_destroy_connection((*m)->conn);
	while ((d = (*m)->first)) {
		(*m)->first = d->next;
		free(d);
	}
	free((*m)->partial);
	free((*m)->current);
	free(*m);
	*m = NULL;
}

bool mq_alive(const mq_t *m)
{
	return !m->dead;
}

static void settle(struct batch *b, size_t i, uint8_t state)
{
	/* The first word counts: an ack after a return is about the return. */
	if (b->state[i] != PENDING)
		return;
	b->state[i] = state;
	b->open--;
	b->open_bytes -= b->msgs[i].len;
}

/* Confirms of an earlier batch that was given up have tags below the base. */
static void on_confirm(mq_t *m, uint64_t tag, bool multiple, uint8_t state)
{
	struct batch *b = m->batch;

	if (!b || tag < b->base || tag >= b->base + b->sent)
		return;
	size_t i = (size_t)(tag - b->base);
	for (size_t k = multiple ? b->low : i; k <= i; k++)
		settle(b, k, state);
	while (b->low < b->sent && b->state[b->low] != PENDING)
		b->low++;
}

static void on_return(mq_t *m, const amqp_basic_properties_t *p)
{
	struct batch *b = m->batch;
	uint64_t seq;

	if (!b || !(p->_flags & AMQP_BASIC_CORRELATION_ID_FLAG) ||
		!parse_u64n(p->correlation_id.bytes, p->correlation_id.len, UINT64_MAX, &seq))
		return;
	if (seq >= b->base && seq < b->base + b->sent) {
		LOG(WARN, "mq.returned", {"queue", LOG_S(b->msgs[seq - b->base].queue)});
		settle(b, (size_t)(seq - b->base), RETURNED);
	}
}

static void arrived(mq_t *m)
{
	if (m->arriving == ARRIVING_DELIVERY) {
		*m->last = m->partial;
		m->last = &m->partial->next;
		m->partial = NULL;
	}
	m->arriving = ARRIVING_NONE;
}

static err_t on_header(mq_t *m, const amqp_frame_t *f)
{
	const amqp_basic_properties_t *p = f->payload.properties.decoded;
	size_t len = (size_t)f->payload.properties.body_size;

	if (m->arriving == ARRIVING_NONE)
		return lost(m, "receive", "header out of place");
	m->arriving_left = len;
	if (m->arriving == ARRIVING_RETURN) {
		on_return(m, p);
	} else {
		m->partial = malloc(sizeof *m->partial + len + 1);
		BUG_ON(!m->partial);
		*m->partial = (struct delivery){
			.tag = m->arriving_tag, .deliveries = mq_headers_deliveries(p), .len = len};
		m->partial->body[len] = 0;
		mq_headers_death(p, m->partial->died_in, m->partial->died_of);
	}
	if (len == 0)
		arrived(m);
	return ERR_OK;
}

static err_t on_body(mq_t *m, const amqp_frame_t *f)
{
	amqp_bytes_t part = f->payload.body_fragment;

	if (m->arriving == ARRIVING_NONE || part.len > m->arriving_left)
		return lost(m, "receive", "body out of place");
	if (m->partial)
		memcpy(m->partial->body + m->partial->len - m->arriving_left, part.bytes, part.len);
	m->arriving_left -= part.len;
	if (m->arriving_left == 0)
		arrived(m);
	return ERR_OK;
}

static err_t on_method(mq_t *m, const amqp_method_t *method)
{
	uint16_t code;

	switch (method->id) {
	case AMQP_BASIC_DELIVER_METHOD:
		m->arriving = ARRIVING_DELIVERY;
		m->arriving_tag = ((amqp_basic_deliver_t *)method->decoded)->delivery_tag;
		return ERR_OK;
	case AMQP_BASIC_RETURN_METHOD:
		m->arriving = ARRIVING_RETURN;
		return ERR_OK;
	case AMQP_BASIC_ACK_METHOD: {
		amqp_basic_ack_t *a = method->decoded;
		on_confirm(m, a->delivery_tag, a->multiple, CONFIRMED);
		return ERR_OK;
	}
	case AMQP_BASIC_NACK_METHOD: {
		amqp_basic_nack_t *a = method->decoded;
		on_confirm(m, a->delivery_tag, a->multiple, REFUSED);
		return ERR_OK;
	}
	case AMQP_CONNECTION_BLOCKED_METHOD:
		LOG0(WARN, "mq.blocked");
		m->blocked = true;
		return ERR_OK;
	case AMQP_CONNECTION_UNBLOCKED_METHOD:
		LOG0(INFO, "mq.unblocked");
		m->blocked = false;
		return ERR_OK;
	case AMQP_CHANNEL_CLOSE_METHOD:
	case AMQP_CONNECTION_CLOSE_METHOD:
		return closed(m, "receive", method, &code);
	case AMQP_BASIC_CANCEL_METHOD:
		return lost(m, "receive", "consumer cancelled: the queue is gone");
	default:
		return lost(m, "receive", amqp_method_name(method->id));
	}
}

/* Waits for one frame until the deadline and does its part. ERR_TIMEOUT when none came. */
static err_t pump(mq_t *m, int64_t deadline_ms)
{
	struct timeval tv = timeval_of(deadline_ms - clk_mono_ms());
	amqp_frame_t f;
	err_t e;

	amqp_maybe_release_buffers(m->conn);
	int rc = amqp_simple_wait_frame_noblock(m->conn, &f, &tv);
	if (rc == AMQP_STATUS_TIMEOUT)
		return ERR_TIMEOUT;
	if (rc != AMQP_STATUS_OK)
		return lost(m, "receive", amqp_error_string2(rc));
	m->unheard_ms = 0;
	switch (f.frame_type) {
	case AMQP_FRAME_METHOD:
		e = on_method(m, &f.payload.method);
		break;
	case AMQP_FRAME_HEADER:
		e = on_header(m, &f);
		break;
	case AMQP_FRAME_BODY:
		e = on_body(m, &f);
		break;
	default:
		e = ERR_OK;
		break;
	}
	return e;
}

static bool is_parked(const char *queue)
{
	size_t n = strlen(queue);

	return n > 7 && strcmp(queue + n - 7, ".parked") == 0;
}

static amqp_table_entry_t text_entry(const char *key, const char *value)
{
	return (amqp_table_entry_t){.key = amqp_cstring_bytes(key),
		.value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(value)}};
}

static amqp_table_entry_t number_entry(const char *key, int64_t value)
{
	return (amqp_table_entry_t){.key = amqp_cstring_bytes(key),
		.value = {.kind = AMQP_FIELD_KIND_I64, .value.i64 = value}};
}

static err_t declare(mq_t *m, const char *queue, amqp_table_t table)
{
	uint16_t code;

	if (m->dead)
		return ERR_MQ_UNAVAILABLE;
	amqp_queue_declare(m->conn, CHANNEL, amqp_cstring_bytes(queue), 0, 1, 0, 0, table);
	err_t e = replied(m, queue, amqp_get_rpc_reply(m->conn), &code);
	/* The queue is there with other arguments: not a matter of trying again. */
	return code == AMQP_PRECONDITION_FAILED ? ERR_CONFIG_INVALID : e;
}

err_t mq_declare(mq_t *m, const char *queue, int64_t max_length, unsigned delivery_limit)
{
	const char *dot = strchr(queue, '.');
	char parked[NAME_BYTES];

	BUG_ON(!dot);
	int n = snprintf(parked, sizeof parked, "%.*s.parked", (int)(dot - queue), queue);
	BUG_ON(n < 0 || n >= NAME_BYTES);
	amqp_table_entry_t args[] = {
		text_entry("x-queue-type", "quorum"),
		number_entry("x-max-length", max_length),
		text_entry("x-overflow", "reject-publish"),
		number_entry("x-delivery-limit", delivery_limit),
		text_entry("x-dead-letter-exchange", ""),
		text_entry("x-dead-letter-routing-key", parked),
		text_entry("x-dead-letter-strategy", "at-least-once"),
	};
	/* The parked queue is the end: no limit of deliveries, nowhere to go from there. */
	amqp_table_t table = {is_parked(queue) ? 3 : 7, args};
	return declare(m, queue, table);
}

err_t mq_declare_wait(
	mq_t *m, const char *queue, int64_t max_length, int64_t ttl_ms, const char *to)
{
	amqp_table_entry_t args[] = {
		text_entry("x-queue-type", "quorum"),
		number_entry("x-max-length", max_length),
		text_entry("x-overflow", "reject-publish"), /* at-least-once works with no other */
		number_entry("x-message-ttl", ttl_ms),
		text_entry("x-dead-letter-exchange", ""),
		text_entry("x-dead-letter-routing-key", to),
		text_entry("x-dead-letter-strategy", "at-least-once"),
	};

	return declare(m, queue, (amqp_table_t){sizeof args / sizeof *args, args});
}

static err_t send_message(mq_t *m, const mq_out *msg, uint64_t seq)
{
	amqp_basic_properties_t p = {
		._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_CONTENT_TYPE_FLAG |
			  AMQP_BASIC_CORRELATION_ID_FLAG,
		.delivery_mode = AMQP_DELIVERY_PERSISTENT,
		.content_type = amqp_cstring_bytes("application/json"),
	};
	amqp_bytes_t body = {msg->len, (void *)(uintptr_t)msg->body};
	char id[24];

	snprintf(id, sizeof id, "%llu", (unsigned long long)seq);
	p.correlation_id = amqp_cstring_bytes(id);
	if (msg->message_id) {
		p._flags |= AMQP_BASIC_MESSAGE_ID_FLAG;
		p.message_id = amqp_cstring_bytes(msg->message_id);
	}
	if (!m->unheard_ms)
		m->unheard_ms = clk_mono_ms();
	int rc = amqp_basic_publish(
		m->conn, CHANNEL, amqp_empty_bytes, amqp_cstring_bytes(msg->queue), 1, 0, &p, body);
	return rc == AMQP_STATUS_OK ? ERR_OK : lost(m, "publish", amqp_error_string2(rc));
}

static err_t start_confirms(mq_t *m)
{
	uint16_t code;

	if (m->dead)
		return ERR_MQ_UNAVAILABLE;
	if (m->confirming)
		return ERR_OK;
	amqp_confirm_select(m->conn, CHANNEL);
	err_t e = replied(m, "confirm.select", amqp_get_rpc_reply(m->conn), &code);
	m->confirming = e == ERR_OK;
	return e;
}

/* Sends while the window is open, reads what comes meanwhile, ends when all is settled. */
static err_t run_batch(mq_t *m, struct batch *b, size_t n, int64_t deadline_ms)
{
	err_t e = ERR_OK;

	while (e == ERR_OK && (b->sent < n || b->open > 0)) {
		bool room = b->open < WINDOW_MESSAGES && b->open_bytes < WINDOW_BYTES;

		if (b->sent == n || !room || m->blocked) {
			e = pump(m, deadline_ms);
			continue;
		}
		b->open++;
		b->open_bytes += b->msgs[b->sent].len;
		b->sent++;
		e = send_message(m, &b->msgs[b->sent - 1], ++m->sequence);
		if (e == ERR_OK && (e = pump(m, 0)) == ERR_TIMEOUT)
			e = clk_mono_ms() < deadline_ms ? ERR_OK : ERR_TIMEOUT;
	}
	return e;
}

/* A node that has stopped, or has lost the others: another may do what it does not. */
static void give_up_silent(mq_t *m)
{
	if (!m->unheard_ms || m->blocked || clk_mono_ms() - m->unheard_ms < SILENT_MS)
		return;
	LOG(WARN, "mq.lost", {"during", LOG_S("publish")}, {"why", LOG_S("the broker is silent")});
	m->dead = true;
}

err_t mq_publish(mq_t *m, mq_out *msgs, size_t n, int64_t confirm_ms)
{
	int64_t deadline_ms = clk_mono_ms() + confirm_ms;
	size_t confirmed = 0;

	for (size_t i = 0; i < n; i++)
		msgs[i].confirmed = false;
	err_t e = start_confirms(m);
	if (e != ERR_OK || n == 0)
		return e;
	struct batch b = {.base = m->sequence + 1, .msgs = msgs, .state = calloc(n, 1)};
	BUG_ON(!b.state);
	m->batch = &b;
	/* What came since the last call may say that the broker takes nothing. */
	while ((e = pump(m, 0)) == ERR_OK)
		;
	if (e == ERR_TIMEOUT)
		e = run_batch(m, &b, n, deadline_ms);
	m->batch = NULL;
	if (e == ERR_TIMEOUT)
		give_up_silent(m);
	for (size_t i = 0; i < n; i++) {
		msgs[i].confirmed = b.state[i] == CONFIRMED;
		confirmed += msgs[i].confirmed;
	}
	free(b.state);
	if (m->dead)
		return ERR_MQ_UNAVAILABLE;
	return confirmed == n ? ERR_OK : ERR_MQ_REFUSED;
}

err_t mq_consume(mq_t *m, const char *queue, uint16_t prefetch)
{
	uint16_t code;

	if (m->dead)
		return ERR_MQ_UNAVAILABLE;
	amqp_basic_qos(m->conn, CHANNEL, 0, prefetch, 0);
	err_t e = replied(m, "basic.qos", amqp_get_rpc_reply(m->conn), &code);
	if (e != ERR_OK)
		return e;
	amqp_basic_consume(m->conn, CHANNEL, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, 0, 0,
		amqp_empty_table);
	return replied(m, queue, amqp_get_rpc_reply(m->conn), &code);
}

err_t mq_next(mq_t *m, int64_t timeout_ms, mq_in *in)
{
	int64_t deadline_ms = clk_mono_ms() + timeout_ms;

	if (m->dead)
		return ERR_MQ_UNAVAILABLE;
	/* At least once, also while messages wait here: heartbeats and closes come by it. */
	err_t e = pump(m, 0);
	while (!m->first && !m->dead && (e == ERR_OK || clk_mono_ms() < deadline_ms))
		e = pump(m, deadline_ms);
	if (m->dead)
		return ERR_MQ_UNAVAILABLE;
	if (!m->first)
		return ERR_TIMEOUT;
	free(m->current);
	m->current = m->first;
	m->first = m->current->next;
	if (!m->first)
		m->last = &m->first;
	*in = (mq_in){m->current->tag, m->current->body, m->current->len, m->current->deliveries,
		m->current->died_in, m->current->died_of};
	return ERR_OK;
}

err_t mq_ack(mq_t *m, uint64_t tag)
{
	if (m->dead)
		return ERR_MQ_UNAVAILABLE;
	int rc = amqp_basic_ack(m->conn, CHANNEL, tag, 0);
	return rc == AMQP_STATUS_OK ? ERR_OK : lost(m, "ack", amqp_error_string2(rc));
}

err_t mq_again(mq_t *m, uint64_t tag)
{
	if (m->dead)
		return ERR_MQ_UNAVAILABLE;
	int rc = amqp_basic_nack(m->conn, CHANNEL, tag, 0, 1);
	return rc == AMQP_STATUS_OK ? ERR_OK : lost(m, "nack", amqp_error_string2(rc));
}

err_t mq_depth(mq_t *m, const char *queue, uint64_t *ready, uint64_t *consumers)
{
	uint16_t code;

	if (m->dead)
		return ERR_MQ_UNAVAILABLE;
	amqp_queue_declare_ok_t *ok = amqp_queue_declare(
		m->conn, CHANNEL, amqp_cstring_bytes(queue), 1, 0, 0, 0, amqp_empty_table);
	err_t e = replied(m, queue, amqp_get_rpc_reply(m->conn), &code);
	if (e == ERR_OK) {
		*ready = ok->message_count;
		*consumers = ok->consumer_count;
	}
	return code == AMQP_NOT_FOUND ? ERR_NOT_FOUND : e;
}

void mq_server_version(mq_t *m, char *out, size_t bytes)
{
	const amqp_table_t *says = amqp_get_server_properties(m->conn);

	*out = '\0';
	for (int i = 0; says && i < says->num_entries; i++) {
		const amqp_table_entry_t *e = &says->entries[i];

		if (e->value.kind == AMQP_FIELD_KIND_UTF8 && e->key.len == strlen("version") &&
			!memcmp(e->key.bytes, "version", e->key.len))
			snprintf(out, bytes, "%.*s", (int)e->value.value.bytes.len,
				(const char *)e->value.value.bytes.bytes);
	}
}
