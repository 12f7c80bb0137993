/* hbctl audit: the log of what was changed, by whom and why. One writer at a time holds the file's
 * lock from reading the last line to syncing the new one. A line that a crash cut off is closed
 * first and stays there; verify shows it. What is cut off at the end cannot be seen from the file
 * itself: verify prints the last hash, to be kept elsewhere. */
#include "units/audit.h"

#include "base/clk.h"
#include "base/jw.h"
#include "base/keys.h"
#include "base/parse.h"
#include "units/args.h"
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	LINE_BYTES = 8192,
	HASH_CHARS = 64,
	TAIL_DEFAULT = 20,
	TAIL_MAX = 100000,
	LOCK_MS = 5000,
	LOOK_EVERY_MS = 20
};
#define HASH_FIELD ",\"hash\":\""
#define FIRST_HASH "0000000000000000000000000000000000000000000000000000000000000000"

/* Root's log would keep out the programs' user, as whom sites change flags and keys: it belongs to whom its
 * folder does. What does not succeed, the one who appends notices. */
static void give_to_owner(const char *folder)
{
	const int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const int log = openat(dir, "audit.log", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	struct stat of, st;

	if (log >= 0 && fstat(dir, &of) == 0 && fstat(log, &st) == 0 && st.st_uid != of.st_uid)
		(void)!fchown(log, of.st_uid, of.st_gid);
	if (log >= 0)
		close(log);
	if (dir >= 0)
		close(dir);
}

static void audit_path(char out[512], bool make)
{
	snprintf(out, 512, "%s/audit", verb_state());
	if (make)
		(void)mkdir(out, 0755);
	if (make)
		give_to_owner(out);
	snprintf(out, 512, "%s/audit/audit.log", verb_state());
}

void audit_who(char out[128])
{
	const struct passwd *pw = getpwuid(getuid());
	const char *via = getenv("SUDO_USER");

	snprintf(out, 128, "%s%s%s", pw ? pw->pw_name : "?", via ? " for " : "", via ? via : "");
}

static void line_hash(const char *line, size_t n, char out[HASH_CHARS + 1])
{
	uint8_t sum[32];

	keys_sha256(line, n, sum);
	parse_to_hex(sum, sizeof(sum), out);
}

/* The length of what is hashed, 0 when the line is none of ours. */
static size_t hashed_part(const char *line, size_t n)
{
	size_t tail = strlen(HASH_FIELD) + HASH_CHARS + 2;

	if (n <= tail || memcmp(line + n - tail, HASH_FIELD, strlen(HASH_FIELD)) != 0 ||
		memcmp(line + n - 2, "\"}", 2) != 0)
		return 0;
	return n - tail;
}

typedef struct {
	uint64_t count;
	char last[HASH_CHARS + 1]; /* the hash of the last line */
	uint64_t bad_line;         /* 0: none */
	bool torn;                 /* the last line has no end */
} chain;

/* Reads the whole log and checks every link of it. */
static void chain_read(FILE *f, chain *c)
{
	char line[LINE_BYTES], hash[HASH_CHARS + 1], want[HASH_CHARS + 16];
	uint64_t at = 0;

	*c = (chain){.last = FIRST_HASH};
	while (fgets(line, sizeof(line), f)) {
		size_t n = strlen(line), part;

		at++;
		c->torn = n == 0 || line[n - 1] != '\n';
		if (!c->torn)
			line[--n] = '\0';
		part = hashed_part(line, n);
		snprintf(want, sizeof(want), "\"prev\":\"%s\"", c->last);
		if (part > 0)
			line_hash(line, part, hash);
		if (c->torn || part == 0 || !strstr(line, want) ||
			memcmp(hash, line + part + strlen(HASH_FIELD), HASH_CHARS) != 0) {
			if (c->bad_line == 0)
				c->bad_line = at;
			continue;
		}
		memcpy(c->last, hash, sizeof(hash));
		c->count++;
	}
}

static size_t make_line(char out[LINE_BYTES], const chain *c, const char *verb, const char *what,
	const char *why, const char *outcome)
{
	char who[128], hash[HASH_CHARS + 1];
	jw_t w;

	audit_who(who);
	jw_start_fixed(&w, out, LINE_BYTES - HASH_CHARS - 32);
	jw_obj(&w, NULL);
	jw_i64(&w, "seq", (int64_t)c->count + 1);
	jw_time(&w, "at", clk_wall_ms());
	jw_str(&w, "who", who);
	jw_str(&w, "verb", verb);
	jw_str(&w, "what", what);
	jw_str(&w, "why", why);
	jw_str(&w, "outcome", outcome);
	jw_str(&w, "prev", c->last);
	jw_obj_end(&w);
	size_t n = jw_end(&w);
	if (n == 0)
		return 0;
	n--; /* the hash stands before the last brace */
	line_hash(out, n, hash);
	return n + (size_t)snprintf(out + n, LINE_BYTES - n, HASH_FIELD "%s\"}\n", hash);
}

/* False, with errno, when somebody else keeps it: a failover must not wait for that in silence. */
static bool lock_alone(int fd)
{
	const int64_t end_ms = clk_mono_ms() + LOCK_MS;

	while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return false;
		if (clk_mono_ms() > end_ms) {
			errno = ETIMEDOUT;
			return false;
		}
		clk_sleep_ms(LOOK_EVERY_MS);
	}
	return true;
}

static bool append(
	FILE *f, const char *verb, const char *what, const char *why, const char *outcome)
{
	char line[LINE_BYTES];
	chain c;

	if (!lock_alone(fileno(f)))
		return false;
	chain_read(f, &c);
	size_t n = make_line(line, &c, verb, what, why, outcome);
	if (n == 0) {
		errno = E2BIG;
		return false;
	}
	return fseek(f, 0, SEEK_END) == 0 && (!c.torn || fputc('\n', f) != EOF) &&
	       fwrite(line, 1, n, f) == n && fflush(f) == 0 && fsync(fileno(f)) == 0;
}

static err_t audit_add(const char *verb, const char *what, const char *why, const char *outcome)
{
	char path[512];

	audit_path(path, true);
	FILE *f = fopen(path, "a+e");
	bool ok = f && fseek(f, 0, SEEK_SET) == 0 && append(f, verb, what, why, outcome);
	if (!ok)
		fprintf(stderr, "hbctl: cannot write %s: %s\n", path,
			errno == ETIMEDOUT ? "another process keeps it locked (flock)"
					   : strerror(errno));
	if (f)
		fclose(f); /* and with it the lock */
	return ok ? ERR_OK : ERR_INTERNAL;
}

err_t audit_begin(const char *verb, const char *what, const char *why)
{
	return audit_add(verb, what, why, "begun");
}

int audit_end(const char *verb, const char *what, const char *why, int outcome)
{
	char text[16];

	snprintf(text, sizeof(text), "exit %d", outcome);
	return audit_add(verb, what, why, text) == ERR_OK ? outcome : VERB_PARTLY;
}

/* Counts the entries from the first on whose hash is `kept`; 0: there is none. */
static uint64_t entries_from(FILE *f, const char *kept)
{
	char line[LINE_BYTES];
	uint64_t n = 0;

	rewind(f);
	while (fgets(line, sizeof(line), f)) {
		const size_t part = hashed_part(line, strcspn(line, "\n"));

		n += n > 0 ||
		     (part && !strncmp(line + part + strlen(HASH_FIELD), kept, HASH_CHARS));
	}
	return n;
}

/* The chain has no key: whoever may write the file can make another that follows from its beginning. That one
 * has not the hash that was kept where they could not write. */
static int verify(FILE *f, const char *kept)
{
	uint64_t from = 0;
	chain c;

	chain_read(f, &c);
	if (c.bad_line) {
		printf("line %llu does not follow from those before it\n",
			(unsigned long long)c.bad_line);
		return VERB_DIFFERENCES;
	}
	if (kept)
		from = entries_from(f, kept);
	if (kept && !from) {
		printf("no entry has the hash that was kept: this is another log\n");
		return VERB_DIFFERENCES;
	}
	printf("ok: %llu entries", (unsigned long long)c.count);
	if (kept)
		printf(", %llu since the kept one", (unsigned long long)from - 1);
	printf(", the last hash is %s\n", c.last);
	return VERB_DONE;
}

/* Lines are only ever added, so those that are counted under the lock stay as they are, and whoever reads
 * the output may take his time. */
static int tail(FILE *f, uint64_t want)
{
	char line[LINE_BYTES];
	uint64_t lines = 0;

	while (fgets(line, sizeof(line), f))
		lines++;
	rewind(f);
	if (flock(fileno(f), LOCK_UN) != 0)
		return VERB_FAILED;
	for (uint64_t at = 0; at < lines && fgets(line, sizeof(line), f); at++)
		if (at + want >= lines)
			fputs(line, stdout);
	return VERB_DONE;
}

int audit_verb(int argc, char **argv)
{
	char path[512];
	uint64_t want = TAIL_DEFAULT;
	const char *kept = NULL;
	const args_row options[] = {{"from", &kept, NULL}};
	const bool verifies = !strcmp(argv[0], "verify");
	const int words = args_take(argc, argv, options, verifies ? 1 : 0);

	if (words != (verifies || argc == 1 ? 0 : 1) || (kept && strlen(kept) != HASH_CHARS) ||
		(words == 1 && (!parse_u64(argv[1], TAIL_MAX, &want) || want == 0)))
		return verb_usage("audit tail [LINES] | audit verify [--from HASH]");
	audit_path(path, false);
	FILE *f = fopen(path, "re");
	if (!f && errno == ENOENT) {
		fprintf(stderr, "hbctl: nothing was changed yet (%s is not there)\n", path);
		return kept ? VERB_DIFFERENCES : VERB_DONE;
	}
	if (!f || flock(fileno(f), LOCK_SH) != 0) {
		fprintf(stderr, "hbctl: cannot read %s: %m\n", path);
		if (f)
			fclose(f);
		return VERB_FAILED;
	}
	int code = verifies ? verify(f, kept) : tail(f, want);
	fclose(f);
	return code;
}
