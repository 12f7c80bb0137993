/* Everything here is written by hand, because strtoull, sscanf and the locale accept more than we
 * want: blanks, signs, overflow, overlong UTF-8. */
#include "base/parse.h"
#include <string.h>

bool parse_u64n(const char *s, size_t len, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (!len || len > 20 || (s[0] == '0' && len > 1))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		if (__builtin_mul_overflow(v, UINT64_C(10), &v) ||
			__builtin_add_overflow(v, (uint64_t)(s[i] - '0'), &v))
			return false;
	}
	if (v > max)
		return false;
	*out = v;
	return true;
}

bool parse_u64(const char *s, uint64_t max, uint64_t *out)
{
	return s && parse_u64n(s, strlen(s), max, out);
}

size_t parse_utf8(const char *s, size_t len, uint32_t *character)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *u = (const unsigned char *)s;
	uint32_t c;
	size_t n;

	if (!len)
		return 0;
	if (u[0] < 0x80) {
		*character = u[0];
		return 1;
	}
	n = u[0] >= 0xf0 ? 4 : u[0] >= 0xe0 ? 3 : 2;
	if (u[0] < 0xc2 || u[0] > 0xf4 || n > len)
		return 0;
	c = u[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (u[i] & 0x3fu);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*character = c;
	return n;
}

bool parse_text_ok(const char *s, size_t len)
{
	uint32_t c;

	while (len) {
		size_t n = parse_utf8(s, len, &c);

		if (!n || c < 0x20 || (c >= 0x7f && c < 0xa0))
			return false;
		s += n;
		len -= n;
	}
	return true;
}

size_t parse_text_chars(const char *s, size_t len)
{
	size_t chars = 0;

	for (size_t i = 0; i < len; i++)
		chars += ((unsigned char)s[i] & 0xc0) != 0x80;
	return chars;
}

static int parse_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool parse_hex(const char *s, size_t bytes, uint8_t *out)
{
	if (!s || strlen(s) != bytes * 2)
		return false;
	for (size_t i = 0; i < bytes; i++) {
		int high = parse_hex_digit(s[2 * i]), low = parse_hex_digit(s[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high * 16 + low);
	}
	return true;
}

size_t parse_to_decimal(uint64_t v, char out[PARSE_DECIMAL_BYTES])
{
	char back[PARSE_DECIMAL_BYTES];
	size_t n = 0;

	do
		back[n++] = (char)('0' + v % 10);
	while ((v /= 10) > 0);
	for (size_t i = 0; i < n; i++)
		out[i] = back[n - 1 - i];
	return n;
}

void parse_to_hex(const uint8_t *in, size_t bytes, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < bytes; i++) {
		*out++ = digits[in[i] >> 4];
		*out++ = digits[in[i] & 15];
	}
	*out = '\0';
}

static const char parse_b64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t parse_to_b64(const uint8_t *in, size_t bytes, char *out, size_t out_bytes)
{
	size_t need = (bytes * 8 + 5) / 6, bits = 0, n = 0;
	uint32_t acc = 0;

	BUG_ON(need + 1 > out_bytes);
	for (size_t i = 0; i < bytes; i++) {
		acc = acc << 8 | in[i];
		for (bits += 8; bits >= 6; bits -= 6)
			out[n++] = parse_b64_digits[acc >> (bits - 6) & 63];
	}
	if (bits)
		out[n++] = parse_b64_digits[acc << (6 - bits) & 63];
	out[n] = '\0';
	return n;
}

bool parse_b64(const char *s, size_t len, uint8_t *out, size_t max, size_t *got)
{
	size_t bits = 0, n = 0;
	uint32_t acc = 0;

	if (len % 4 == 1 || len / 4 * 3 + (len % 4 ? len % 4 - 1 : 0) > max)
		return false;
	for (size_t i = 0; i < len; i++) {
		const char *d = s[i] ? strchr(parse_b64_digits, s[i]) : NULL;

		if (!d)
			return false;
		acc = acc << 6 | (uint32_t)(d - parse_b64_digits);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			out[n++] = (uint8_t)(acc >> bits);
		}
	}
	if (acc & ((1u << bits) - 1)) /* one byte string has one spelling only */
		return false;
	*got = n;
	return true;
}
