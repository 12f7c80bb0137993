/* mq: RabbitMQ. A mq_t is one connection with one channel and belongs to one thread. Queues are
 * quorum queues, durable, with a length limit that refuses (reject-publish), a delivery limit and
 * the queue `<cell>.parked` as dead-letter target. Publishing is mandatory and confirmed.
 * Heartbeats run inside the calls; do not stay away for longer than 20 s. */
#ifndef HB_STORE_MQ_H
#define HB_STORE_MQ_H

#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

enum { MQ_NODES_MAX = 8 };
typedef struct {
	char host[64];
	uint16_t port;
} mq_node;
typedef struct {
	mq_node node[MQ_NODES_MAX]; /* of one cluster: any of them will do */
	unsigned nodes;
	char user[32], password[80], vhost[32];
} mq_target;

typedef struct mq mq_t;

/* Tries the nodes in turn, beginning with the one that took this process's last connection (at first
 * with any: processes spread); 5 s at most for each. ERR_MQ_UNAVAILABLE. */
err_t mq_open(const mq_target *t, mq_t **out) MUST_CHECK;
void mq_close(mq_t **m);
bool mq_alive(const mq_t *m);
/* The broker's, e.g. "3.10.8"; "" when it has said none. */
void mq_server_version(mq_t *m, char *out, size_t bytes);

/* Idempotent. `queue` is "<cell>.<kind>", e.g. "A.transfer"; "<cell>.parked" has neither a delivery
 * limit nor a dead-letter target. ERR_CONFIG_INVALID when the queue exists with other arguments
 * (the broker then closes the channel: close and open again). */
err_t mq_declare(
	mq_t *m, const char *queue, int64_t max_length, unsigned delivery_limit) MUST_CHECK;

/* Idempotent. A queue without consumers: what is published to it goes on to the queue `to` after
 * ttl_ms, at least once (it stays until `to` has confirmed it). Errors as mq_declare. */
err_t mq_declare_wait(
	mq_t *m, const char *queue, int64_t max_length, int64_t ttl_ms, const char *to) MUST_CHECK;

typedef struct {
	const char *queue;
	const void *body;
	size_t len;
	const char *message_id; /* may be NULL */
	bool confirmed;         /* out: on disk at a majority */
} mq_out;
/* Publishes all, waits at most confirm_ms for the confirms. Messages returned, nacked or not
 * confirmed in time have confirmed=false (those may have arrived all the same). ERR_OK when all are
 * confirmed, ERR_MQ_REFUSED when some are not (the broker blocked by an alarm included),
 * ERR_MQ_UNAVAILABLE when the connection is gone, or the broker has said nothing at all for 4 s
 * since it was sent something (then close and open again). A broker that stops reading can hold it for 10 s more. */
err_t mq_publish(mq_t *m, mq_out *msgs, size_t n, int64_t confirm_ms) MUST_CHECK;

typedef struct {
	uint64_t tag;
	const char *body; /* zero-terminated, valid until the next mq_next */
	size_t len;
	uint64_t deliveries; /* how often it was delivered before */
	const char *died_in,
		*died_of; /* of a dead-lettered one: which queue, and RabbitMQ's reason; else "" */
} mq_in;
err_t mq_consume(mq_t *m, const char *queue, uint16_t prefetch) MUST_CHECK;
/* ERR_TIMEOUT when nothing came; ERR_MQ_UNAVAILABLE when the connection is gone. */
err_t mq_next(mq_t *m, int64_t timeout_ms, mq_in *in) MUST_CHECK;
err_t mq_ack(mq_t *m, uint64_t tag) MUST_CHECK;
err_t mq_again(mq_t *m,
	uint64_t tag) MUST_CHECK; /* nack with requeue: counts towards the delivery limit */
/* Messages ready in a queue, and who consumes it. ERR_NOT_FOUND when there is no such queue (close
 * and open again). */
err_t mq_depth(mq_t *m, const char *queue, uint64_t *ready, uint64_t *consumers) MUST_CHECK;

#endif
