#include "store/mq_headers.h"

#include <stdio.h>
#include <string.h>

uint64_t mq_headers_deliveries(const amqp_basic_properties_t *p)
{
	if (!(p->_flags & AMQP_BASIC_HEADERS_FLAG))
		return 0;
	for (int i = 0; i < p->headers.num_entries; i++) {
		const amqp_table_entry_t *e = &p->headers.entries[i];

		if (e->key.len != 16 || memcmp(e->key.bytes, "x-delivery-count", 16) != 0)
			continue;
		switch (e->value.kind) {
		case AMQP_FIELD_KIND_I64:
			return e->value.value.i64 < 0 ? 0 : (uint64_t)e->value.value.i64;
		case AMQP_FIELD_KIND_I32:
			return e->value.value.i32 < 0 ? 0 : (uint64_t)e->value.value.i32;
		case AMQP_FIELD_KIND_I16:
			return e->value.value.i16 < 0 ? 0 : (uint64_t)e->value.value.i16;
		case AMQP_FIELD_KIND_I8:
		case AMQP_FIELD_KIND_U8:
			return e->value.value.u8;
		default:
			return 0;
		}
	}
	return 0;
}

static void copy_field(const amqp_table_t *t, const char *key, char out[MQ_DIED_BYTES])
{
	for (int i = 0; i < t->num_entries; i++) {
		const amqp_table_entry_t *e = &t->entries[i];

		if (e->key.len == strlen(key) && memcmp(e->key.bytes, key, e->key.len) == 0 &&
			e->value.kind == AMQP_FIELD_KIND_UTF8)
			snprintf(out, MQ_DIED_BYTES, "%.*s", (int)e->value.value.bytes.len,
				(const char *)e->value.value.bytes.bytes);
	}
}

/* x-death holds every death of the message, the last one first. */
void mq_headers_death(
	const amqp_basic_properties_t *p, char died_in[MQ_DIED_BYTES], char died_of[MQ_DIED_BYTES])
{
	if (!(p->_flags & AMQP_BASIC_HEADERS_FLAG))
		return;
	for (int i = 0; i < p->headers.num_entries; i++) {
		const amqp_table_entry_t *e = &p->headers.entries[i];

		if (e->key.len != 7 || memcmp(e->key.bytes, "x-death", 7) != 0 ||
			e->value.kind != AMQP_FIELD_KIND_ARRAY ||
			e->value.value.array.num_entries == 0 ||
			e->value.value.array.entries[0].kind != AMQP_FIELD_KIND_TABLE)
			continue;
		const amqp_table_t *last = &e->value.value.array.entries[0].value.table;
		copy_field(last, "queue", died_in);
		copy_field(last, "reason", died_of);
	}
}
