/* webhook: says a text to people, in the message format of a Lark or Feishu bot: POST
 * {"msg_type":"text","content":{"text":"…"}}, signed when there is a secret. Belongs to one thread. */
#ifndef HB_STORE_WEBHOOK_H
#define HB_STORE_WEBHOOK_H

#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

typedef struct {
	char url[400];
	char secret[100]; /* of the bot's signature check; "": none */
	int64_t timeout_ms;
} webhook_target;

enum { WEBHOOK_TEXT_BYTES = 8192, WEBHOOK_BODY_BYTES = 6 * WEBHOOK_TEXT_BYTES + 256 };

typedef struct webhook webhook_t;
webhook_t *webhook_new(const webhook_target *t);
void webhook_free(webhook_t **w);

/* ERR_OK when the bot has taken it (HTTP 200 and code 0); else ERR_WEBHOOK_UNAVAILABLE, and whether it
 * was shown is not known. `text`: UTF-8, shorter than WEBHOOK_TEXT_BYTES. */
err_t webhook_say(webhook_t *w, const char *text) MUST_CHECK;

/* The body as it is sent; returns its length. */
size_t webhook_body(
	const webhook_target *t, const char *text, int64_t unix_s, char out[WEBHOOK_BODY_BYTES]);

#endif
