/* The file's text is scanned before libconfig sees it, since its tree no longer shows what was cut
 * off. */
#include "base/cfg.h"
#include "base/parse.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

err_t cfg_fail(
	char why[CFG_WHY_BYTES], const char *path, const config_setting_t *at, const char *fmt, ...)
{
	unsigned line = at ? config_setting_source_line(at) : 0;
	size_t n;
	va_list ap;

	if (line)
		snprintf(why, CFG_WHY_BYTES, "%s:%u: ", path, line);
	else
		snprintf(why, CFG_WHY_BYTES, "%s: ", path);
	n = strlen(why);
	va_start(ap, fmt);
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start is right above */
	vsnprintf(why + n, CFG_WHY_BYTES - n, fmt, ap);
	va_end(ap);
	return ERR_CONFIG_INVALID;
}

bool cfg_int(const config_setting_t *s, int64_t least, int64_t most, int64_t *out)
{
	int type = config_setting_type(s);
	int64_t v;

	if (type == CONFIG_TYPE_INT)
		v = config_setting_get_int(s);
	else if (type == CONFIG_TYPE_INT64)
		v = config_setting_get_int64(s);
	else
		return false;
	if (v < least || v > most)
		return false;
	*out = v;
	return true;
}

const char *cfg_skip(const char *p)
{
	const char *end;

	if (*p == '"') {
		for (p++; *p && *p != '"'; p++)
			if (*p == '\\' && p[1])
				p++;
		return *p ? p + 1 : p;
	}
	if (*p == '#' || (*p == '/' && p[1] == '/'))
		return p + strcspn(p, "\n");
	if (*p == '/' && p[1] == '*') {
		end = strstr(p + 2, "*/");
		return end ? end + 2 : p + strlen(p);
	}
	return p;
}

static bool cfg_word(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '_' || c == '.' || c == '-' || c == '*';
}

/* The words that libconfig would silently cut: integers that need the L, or more. */
static bool cfg_fits(const char *word, size_t len)
{
	size_t digits = strspn(word, "0123456789");
	bool hex = len > 1 && word[0] == '0' && (word[1] | 32) == 'x';
	size_t end = len, zeros;
	uint64_t v;

	while (end && word[end - 1] == 'L')
		end--;
	if (hex)
		return end - 2 <= (end == len ? 7u : 15u);
	if (!digits || digits < end) /* a name, a float, or for libconfig's parser to refuse */
		return true;
	zeros = strspn(word, "0");
	if (zeros >= end)
		return true;
	return parse_u64n(word + zeros, end - zeros, end == len ? INT32_MAX : INT64_MAX, &v);
}

static err_t cfg_scan(const char *path, const char *text, char why[CFG_WHY_BYTES])
{
	const char *counted = text, *p = text;
	unsigned line = 1;

	while (*p) {
		const char *next = cfg_skip(p);
		size_t len = 0;
		const char *sign;

		if (next != p) {
			p = next;
			continue;
		}
		while (cfg_word(p[len]))
			len++;
		sign = len && *p == '-' ? p + 1 : p;
		if (*p == '@' || (len && !cfg_fits(sign, len - (size_t)(sign - p)))) {
			for (; counted < p; counted++)
				line += *counted == '\n';
			return cfg_fail(why, path, NULL, "line %u: %s: %.*s", line,
				*p == '@' ? "@include is not supported"
					  : "an integer beyond 2^31-1 needs the suffix L, beyond "
					    "2^63-1 nothing helps",
				len ? (int)len : 1, p);
		}
		p += len ? len : 1;
	}
	return ERR_OK;
}

char *cfg_slurp(const char *path, char why[CFG_WHY_BYTES])
{
	const char *wrong = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *buf = malloc(CFG_FILE_BYTES + 1);
	size_t len = 0;
	ssize_t n = 1;

	BUG_ON(!buf);
	while (fd >= 0 && n > 0 && len <= CFG_FILE_BYTES) {
		n = read(fd, buf + len, CFG_FILE_BYTES + 1 - len);
		if (n > 0)
			len += (size_t)n;
	}
	if (fd < 0 || n < 0)
		wrong = strerror(errno);
	else if (len > CFG_FILE_BYTES)
		wrong = "the file is larger than 1 MB";
	else if (memchr(buf, 0, len))
		wrong = "a zero byte in the text";
	if (fd >= 0)
		close(fd);
	if (wrong) {
		(void)!cfg_fail(why, path, NULL, "%s", wrong);
		free(buf);
		return NULL;
	}
	buf[len] = '\0';
	return buf;
}

err_t cfg_parse(const char *path, const char *text, char why[CFG_WHY_BYTES], config_t *out)
{
	err_t e = cfg_scan(path, text, why);

	if (e)
		return e;
	config_init(out); /* in place: the tree points back to it */
	if (!config_read_string(out, text)) {
		e = cfg_fail(why, path, NULL, "line %d: %s", config_error_line(out),
			config_error_text(out));
		config_destroy(out);
	}
	return e;
}

err_t cfg_read(const char *path, char why[CFG_WHY_BYTES], config_t *out)
{
	char *text = cfg_slurp(path, why);
	err_t e = text ? cfg_parse(path, text, why, out) : ERR_CONFIG_INVALID;

	free(text);
	return e;
}
