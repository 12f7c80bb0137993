/* parse: strict reading of the small things that strangers send. No allocation, thread-safe. */
#ifndef HB_BASE_PARSE_H
#define HB_BASE_PARSE_H

#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

/* Decimal digits only, no sign, no leading zero (but "0"), at most `max`. */
bool parse_u64(const char *s, uint64_t max, uint64_t *out);
bool parse_u64n(const char *s, size_t len, uint64_t max, uint64_t *out);
/* Bytes of the first character, 0 when it is not valid UTF-8 (or len is 0). */
size_t parse_utf8(const char *s, size_t len, uint32_t *character);
/* Valid UTF-8 (no surrogates, no overlong forms) without control characters. */
bool parse_text_ok(const char *s, size_t len);
/* Unicode characters of valid UTF-8. */
size_t parse_text_chars(const char *s, size_t len);
/* Hexadecimal, lower or upper case, of exactly `bytes` bytes; out may be partly written when
 * it is not. */
bool parse_hex(const char *s, size_t bytes, uint8_t *out);
/* Decimal digits without a zero at the end; how many. For hot paths, where snprintf is too slow. */
enum { PARSE_DECIMAL_BYTES = 20 };
size_t parse_to_decimal(uint64_t v, char out[PARSE_DECIMAL_BYTES]);
/* Lower-case hexadecimal, zero-terminated: out holds 2*bytes+1. */
void parse_to_hex(const uint8_t *in, size_t bytes, char *out);
/* base64url without padding. Encode returns the length without the zero; decode false when
 * malformed or longer than `max`. */
size_t parse_to_b64(const uint8_t *in, size_t bytes, char *out, size_t out_bytes);
bool parse_b64(const char *s, size_t len, uint8_t *out, size_t max, size_t *got);

#endif
