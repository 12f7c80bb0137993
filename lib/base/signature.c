/* The mac is computed over lines whose fields cannot hold a newline; that is checked while parsing,
 * so no two inputs share a mac. */
#include "base/signature.h"

#include "base/parse.h"
#include <stdio.h>
#include <string.h>

enum { MAC_BYTES = 32, MAC_B64_BYTES = 44, PARTS = 6, MESSAGE_BYTES = 1024 };
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* "v1\n<who>\n<unix seconds>\n<id>\n<METHOD>\n"; the path and the body's hash follow it. */
static size_t message_head(char out[MESSAGE_BYTES], const char *who, int64_t unix_s, const char *id,
	const char *method)
{
	int n = snprintf(
		out, MESSAGE_BYTES, "v1\n%s\n%lld\n%s\n%s\n", who, (long long)unix_s, id, method);
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

void signature_make(const keys_ring_t *keys, const char *who, int64_t unix_s, const char *id,
	const char *method, const char *path, const void *body, size_t n,
	char header[SIGNATURE_BYTES])
{
	char head[MESSAGE_BYTES], tail[2 * MAC_BYTES + 2], b64[MAC_B64_BYTES],
		key_id[KEYS_ID_BYTES];
	uint8_t mac[MAC_BYTES];
	size_t head_len = message_head(head, who, unix_s, id, method);
	body_line(body, n, tail);
	keys_part parts[] = {{head, head_len}, {path, strlen(path)}, {tail, strlen(tail)}};
	do
		keys_current_id(keys, key_id);
	while (!keys_sign(keys, key_id, parts, COUNT(parts), mac));
	parse_to_b64(mac, sizeof mac, b64, sizeof b64);
	int len = snprintf(header, SIGNATURE_BYTES, "v1 %s %lld %s %s %s", who, (long long)unix_s,
		id, key_id, b64);
	BUG_ON(len <= 0 || len >= SIGNATURE_BYTES);
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

err_t signature_verify(const keys_ring_t *keys, const char *who, int64_t now_s, int64_t skew_s,
	const char *header, const char *method, const char *path, const void *body, size_t n,
	char id[SIGNATURE_ID_BYTES])
{
	char copy[SIGNATURE_BYTES], head[MESSAGE_BYTES], tail[2 * MAC_BYTES + 2], *part[PARTS];
	uint8_t mac[MAC_BYTES];
	uint64_t at;
	size_t got;
	if (!header || strlen(header) >= sizeof copy)
		return ERR_SIGNATURE_INVALID;
	memcpy(copy, header, strlen(header) + 1);
	if (!split_exactly(copy, part, PARTS) || strcmp(part[0], "v1") != 0 ||
		strcmp(part[1], who) != 0 || !parse_u64(part[2], 99999999999, &at) ||
		!id_ok(part[3]) || !parse_b64(part[5], strlen(part[5]), mac, sizeof mac, &got) ||
		got != sizeof mac)
		return ERR_SIGNATURE_INVALID;
	if ((int64_t)at < now_s - skew_s || (int64_t)at > now_s + skew_s || strlen(method) > 16)
		return ERR_SIGNATURE_INVALID;
	size_t head_len = message_head(head, who, (int64_t)at, part[3], method);
	body_line(body, n, tail);
	keys_part parts[] = {{head, head_len}, {path, strlen(path)}, {tail, strlen(tail)}};
	if (!keys_verify(keys, part[4], parts, COUNT(parts), mac))
		return ERR_SIGNATURE_INVALID;
	memcpy(id, part[3], strlen(part[3]) + 1);
	return ERR_OK;
}

bool signature_who(const char *header, char out[SIGNATURE_WHO_BYTES], char key_id[KEYS_ID_BYTES])
{
	char copy[SIGNATURE_BYTES], *part[PARTS];
	if (!header || strlen(header) >= sizeof copy)
		return false;
	memcpy(copy, header, strlen(header) + 1);
	if (!split_exactly(copy, part, PARTS) || strlen(part[1]) >= SIGNATURE_WHO_BYTES ||
		strlen(part[4]) >= KEYS_ID_BYTES)
		return false;
	memcpy(out, part[1], strlen(part[1]) + 1);
	memcpy(key_id, part[4], strlen(part[4]) + 1);
	return true;
}
