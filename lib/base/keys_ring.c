/* Rings live in sodium_malloc'ed memory (guarded, not swapped where the limits allow, wiped when
 * freed), each file's keys as one set that is read-only once loaded.
 *
 * A ring has places for two sets. A new one is put into the free place and then made current; the old
 * one is freed when nobody holds it any more. Whoever holds a set counts himself in at its place
 * first and then looks whether it still is the current one: so either he sees the new set, or the one
 * who frees sees him (both sides are sequentially consistent). Two atomic additions a use, beside a
 * mac of hundreds of nanoseconds. */
#include "base/clk.h"
#include "base/keys_inner.h"
#include "base/logger.h"
#include "base/parse.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEYS_FILE_BYTES = 8192, KEYS_PATH_BYTES = 512, KEYS_PLACES = 2 };
static const char until_word[] = "until:";
static const uint64_t until_max = UINT64_C(253402300799); /* the year 9999 */

typedef struct {
	atomic_uint held;
	keys_set *set; /* NULL: free */
} keys_place;

typedef struct {
	char path[KEYS_PATH_BYTES];
	struct stat seen; /* of the file looked at last, good or bad */
	bool bad;
	atomic_uint current;
	keys_place place[KEYS_PLACES];
} keys_rest;

struct keys_ring {
	keys_rest
		*rest; /* behind a pointer, for it changes in rings that are const to their users */
	keys_ring_t *next;
};

/* All rings of this process: few, and rarely gone through. */
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static keys_ring_t *all;

bool keys_alive(const keys_key *k)
{
	return !k->until_s || k->until_s > clk_wall_ms() / 1000;
}

const keys_key *keys_find(const keys_set *s, const char *id)
{
	for (unsigned i = 0; i < s->count; i++)
		if (!strcmp(s->key[i].id, id))
			return keys_alive(&s->key[i]) ? &s->key[i] : NULL;
	return NULL;
}

const keys_set *keys_hold(const keys_ring_t *r, unsigned *place)
{
	keys_rest *m = r->rest;

	for (;;) {
		const unsigned i = atomic_load(&m->current);

		atomic_fetch_add(&m->place[i].held, 1);
		if (atomic_load(&m->current) == i) {
			*place = i;
			return m->place[i].set;
		}
		atomic_fetch_sub(&m->place[i].held, 1);
	}
}

void keys_release(const keys_ring_t *r, unsigned place)
{
	atomic_fetch_sub(&r->rest->place[place].held, 1);
}

/* Words with single spaces between them. */
static bool scopes_ok(const char *s)
{
	const size_t n = strlen(s);

	return n > 0 && n < KEYS_SCOPES_BYTES && s[0] != ' ' && s[n - 1] != ' ' &&
	       !strstr(s, "  ") && strspn(s, " abcdefghijklmnopqrstuvwxyz0123456789._:*-") == n;
}

/* The end that one of the words may say. */
static bool until_read(const char *words, int64_t *until_s)
{
	const size_t n = sizeof(until_word) - 1;
	uint64_t v;

	for (const char *at = words; *at; at += strspn(at, " ")) {
		const size_t len = strcspn(at, " ");

		if (len >= n && !memcmp(at, until_word, n)) {
			if (*until_s || !parse_u64n(at + n, len - n, until_max, &v) || !v)
				return false;
			*until_s = (int64_t)v;
		}
		at += len;
	}
	return true;
}

static bool id_taken(const keys_set *s, const char *id)
{
	for (unsigned i = 0; i < s->count; i++)
		if (!strcmp(s->key[i].id, id))
			return true;
	return false;
}

/* NULL, or what is wrong with the line. */
static const char *add_line(keys_set *s, char *line)
{
	char *space = strchr(line, ' ');
	size_t n = space ? (size_t)(space - line) : 0;
	keys_key *k = &s->key[s->count];

	if (!n || n >= KEYS_ID_BYTES || strspn(line, "abcdefghijklmnopqrstuvwxyz0123456789") != n)
		return "not `<key id> <64 hex digits>`, the id 1-8 of a-z0-9";
	if (s->count == KEYS_RING_MAX)
		return "more than 16 keys";
	*space = '\0';
	if (id_taken(s, line))
		return "the key id is there twice";
	char *scopes = strchr(space + 1, ' ');
	if (scopes)
		*scopes++ = '\0';
	if (!parse_hex(space + 1, KEYS_BYTES, k->key))
		return "the key is not 64 hex digits";
	if (scopes && !scopes_ok(scopes))
		return "behind the key may stand words of a-z 0-9 . _ : * -, below 256 bytes";
	if (scopes && !until_read(scopes, &k->until_s))
		return "until: is followed by seconds since 1970, and is there once";
	if (scopes)
		memcpy(k->scopes, scopes, strlen(scopes) + 1);
	if (s->count == 0 && k->until_s)
		return "the first key signs, and may have no until:";
	memcpy(k->id, line, n + 1);
	s->count++;
	return NULL;
}

static const char *add_text(keys_set *s, char *text, int *line_no)
{
	const char *wrong = NULL;
	char *line;

	for (*line_no = 1; !wrong && (line = strsep(&text, "\n")); ++*line_no)
		if (*line || text) /* what follows the last newline is no line */
			wrong = add_line(s, line);
	--*line_no;
	return wrong || s->count ? wrong : "there is no key";
}

/* Keys whose time is over are not kept in memory. */
static void drop_ended(keys_set *s)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < s->count; i++) {
		if (!keys_alive(&s->key[i]))
			continue;
		if (kept != i)
			s->key[kept] = s->key[i];
		kept++;
	}
	sodium_memzero(&s->key[kept], (s->count - kept) * sizeof(s->key[0]));
	s->count = kept;
}

static const char *slurp(const char *path, char text[KEYS_FILE_BYTES + 1], struct stat *st)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const char *wrong = NULL;
	ssize_t n;
	bool known;

	if (fd < 0)
		return strerror(errno);
	known = !fstat(fd, st);
	if (known && !S_ISREG(st->st_mode))
		wrong = "not a plain file";
	else if (known && (st->st_mode & 07777 & ~0400u))
		wrong = "the mode is wider than 0400";
	else if (known && st->st_size > KEYS_FILE_BYTES)
		wrong = "the file is too large";
	else if (!known || (n = read(fd, text, KEYS_FILE_BYTES)) < 0)
		wrong = strerror(errno);
	else
		text[n] = '\0';
	close(fd);
	return wrong;
}

/* Of a text of at least 256 random bits, so nothing follows from it: 1..2^53-1, as a double holds it. */
static int64_t version_of(const char *text)
{
	uint8_t hash[32];
	uint64_t v = 0;

	keys_sha256(text, strlen(text), hash);
	for (unsigned i = 0; i < 7; i++)
		v = v << 8 | hash[i];
	v &= (UINT64_C(1) << 53) - 1;
	return v ? (int64_t)v : 1;
}

/* NULL, logged, when the file is not as it should be. */
static keys_set *set_read(const char *path, struct stat *seen)
{
	char text[KEYS_FILE_BYTES + 1];
	keys_set *s = sodium_malloc(sizeof(*s));
	int line = 0;

	if (!s)
		return NULL;
	memset(s, 0, sizeof(*s));
	const char *wrong = slurp(path, text, seen);
	if (!wrong) {
		s->version = version_of(text);
		wrong = add_text(s, text, &line);
	}
	sodium_memzero(text, sizeof(text));
	if (!wrong) {
		drop_ended(s);
		sodium_mprotect_readonly(s);
		return s;
	}
	LOG(ERROR, "keys.invalid", {"file", LOG_S(path)}, {"line", LOG_I(line)},
		{"why", LOG_S(wrong)});
	sodium_free(s);
	return NULL;
}

err_t keys_load(const char *path, keys_ring_t **out)
{
	keys_ring_t *r = calloc(1, sizeof(*r));
	keys_rest *m = calloc(1, sizeof(*m));

	BUG_ON(!r || !m);
	r->rest = m;
	if ((size_t)snprintf(m->path, sizeof(m->path), "%s", path) < sizeof(m->path))
		m->place[0].set = set_read(path, &m->seen);
	if (!m->place[0].set) {
		free(m);
		free(r);
		return ERR_CONFIG_INVALID;
	}
	pthread_mutex_lock(&all_lock);
	r->next = all;
	all = r;
	pthread_mutex_unlock(&all_lock);
	*out = r;
	return ERR_OK;
}

void keys_free(keys_ring_t **r)
{
	keys_ring_t **at = &all;

	if (!*r)
		return;
	pthread_mutex_lock(&all_lock);
	while (*at != *r)
		at = &(*at)->next;
	*at = (*r)->next;
	pthread_mutex_unlock(&all_lock);
	for (unsigned i = 0; i < KEYS_PLACES; i++)
		sodium_free((*r)->rest->place[i].set);
	free((*r)->rest);
	free(*r);
	*r = NULL;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mode == b->st_mode && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	       a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static bool any_ended(const keys_set *s)
{
	for (unsigned i = 0; i < s->count; i++)
		if (!keys_alive(&s->key[i]))
			return true;
	return false;
}

static void ring_look(keys_rest *m)
{
	const unsigned now = atomic_load(&m->current), other = 1 - now;
	struct stat st = {0};

	if (m->place[other].set && atomic_load(&m->place[other].held) == 0) {
		sodium_free(m->place[other].set);
		m->place[other].set = NULL;
	}
	(void)!stat(m->path, &st); /* a file that is gone looks like none seen before */
	if (m->place[other].set ||
		(same_file(&st, &m->seen) && (m->bad || !any_ended(m->place[now].set))))
		return;
	keys_set *fresh = set_read(m->path, &st);
	m->seen = st;
	m->bad = !fresh;
	if (m->bad)
		return;
	m->place[other].set = fresh;
	atomic_store(&m->current, other);
	LOG(INFO, "keys.applied", {"file", LOG_S(m->path)}, {"signs", LOG_S(fresh->key[0].id)},
		{"keys", LOG_U(fresh->count)});
}

void keys_look(void)
{
	pthread_mutex_lock(&all_lock);
	for (keys_ring_t *r = all; r; r = r->next)
		ring_look(r->rest);
	pthread_mutex_unlock(&all_lock);
}

int64_t keys_version(const char *prefix)
{
	int64_t v = 0;

	pthread_mutex_lock(&all_lock);
	for (keys_ring_t *r = all; r; r = r->next) {
		const char *slash = strrchr(r->rest->path, '/');
		const char *name = slash ? slash + 1 : r->rest->path;
		unsigned place;

		if (strncmp(name, prefix, strlen(prefix)) == 0) {
			v ^= keys_hold(r, &place)->version;
			keys_release(r, place);
		}
	}
	pthread_mutex_unlock(&all_lock);
	return v;
}

err_t keys_secret(const char *path, char *out, size_t out_bytes)
{
	char text[KEYS_FILE_BYTES + 1];
	struct stat st;
	const char *wrong = slurp(path, text, &st);
	size_t n = wrong ? 0 : strcspn(text, "\n");

	if (!wrong && (!n || n >= out_bytes))
		wrong = n ? "the secret is too long" : "the first line is empty";
	if (!wrong) {
		memcpy(out, text, n);
		out[n] = '\0';
	}
	sodium_memzero(text, sizeof(text));
	if (!wrong)
		return ERR_OK;
	LOG(ERROR, "keys.invalid", {"file", LOG_S(path)}, {"why", LOG_S(wrong)});
	return ERR_CONFIG_INVALID;
}

unsigned keys_list(const keys_ring_t *r, keys_line out[KEYS_LINES_MAX])
{
	unsigned place;
	const keys_set *s = keys_hold(r, &place);
	const unsigned count = s->count;

	_Static_assert((int)KEYS_LINES_MAX == (int)KEYS_RING_MAX, "they fit");
	for (unsigned i = 0; i < count; i++) {
		memcpy(out[i].id, s->key[i].id, KEYS_ID_BYTES);
		out[i].until_s = s->key[i].until_s;
	}
	keys_release(r, place);
	return count;
}
