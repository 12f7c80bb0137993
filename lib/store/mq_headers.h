/* mq_headers: what RabbitMQ says of a message in its headers. Pure. */
#ifndef HB_STORE_MQ_HEADERS_H
#define HB_STORE_MQ_HEADERS_H

#include <amqp.h>
#include <stdint.h>

enum { MQ_DIED_BYTES = 40 };

/* x-delivery-count: how often it was delivered before. */
uint64_t mq_headers_deliveries(const amqp_basic_properties_t *p);
/* x-death: in which queue it died last, and RabbitMQ's reason; left alone when it never died. */
void mq_headers_death(
	const amqp_basic_properties_t *p, char died_in[MQ_DIED_BYTES], char died_of[MQ_DIED_BYTES]);

#endif
