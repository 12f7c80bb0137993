/* One walk makes the lines of a table, for writing and for proving alike, so that both mean the same by
 * "the rows". What is proved right before the tables let go of it is the file as it is on disk, not as
 * it was once written. */
#include "domain/age_export.h"

#include "base/clk.h"
#include "base/jw.h"
#include "base/life.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "domain/states.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 1000, LINE_BYTES = 8192, PATH_BYTES = 512, FILE_BUFFER_BYTES = 1 << 20 };

/* ---- the lines of a table ---- */

typedef enum { NUMBER, INTEGER, BYTES, TEXT } column_type;

typedef struct {
	const char *name;
	column_type type;
} column;

static const column packet_columns[] = {{"packet_id", NUMBER}, {"sender", NUMBER},
	{"kind", INTEGER}, {"split", INTEGER}, {"scope", INTEGER}, {"state", INTEGER},
	{"count", INTEGER}, {"remaining_count", INTEGER}, {"total", INTEGER},
	{"remaining", INTEGER}, {"created_at", INTEGER}, {"expires_at", INTEGER},
	{"seed_id", NUMBER}, {"seed", BYTES}, {"nonce", BYTES}, {"commitment", BYTES},
	{"greeting", TEXT}, {"video_id", TEXT}, {"campaign", INTEGER}};
static const column invited_columns[] = {{"packet_id", NUMBER}, {"uid", NUMBER}};
static const column claim_columns[] = {{"packet_id", NUMBER}, {"uid", NUMBER}, {"idx", INTEGER},
	{"claim_no", NUMBER}, {"amount", INTEGER}, {"claimed_at", INTEGER}};

#define COLUMNS(c) c, sizeof(c) / sizeof *(c)
static const struct {
	sql_id page;
	const column *columns;
	unsigned count; /* and the state that the walk looks at */
	int judged;     /* the states_kind of it; -1: none */
} walks[AGE_TABLES] = {
	[AGE_PACKET] = {SQL_AGE_PACKETS, COLUMNS(packet_columns), STATES_PACKET},
	[AGE_INVITED] = {SQL_AGE_INVITED, COLUMNS(invited_columns), -1},
	[AGE_CLAIM] = {SQL_AGE_CLAIMS, COLUMNS(claim_columns), STATES_TRANSFER},
};

static size_t line_write(age_table t, const db_rows_t *r, char line[LINE_BYTES])
{
	jw_t w;
	jw_start_fixed(&w, line, LINE_BYTES - 1);
	jw_obj(&w, NULL);
	for (unsigned i = 0; i < walks[t].count; i++) {
		const column *c = &walks[t].columns[i];
		size_t n;
		const char *text = db_rows_s(r, i, &n);
		if (db_rows_null(r, i))
			jw_null(&w, c->name);
		else if (c->type == NUMBER)
			jw_id(&w, c->name, db_rows_u(r, i));
		else if (c->type == INTEGER)
			jw_i64(&w, c->name, db_rows_i(r, i));
		else if (c->type == BYTES)
			jw_hex(&w, c->name, (const uint8_t *)text, n);
		else
			jw_strn(&w, c->name, text, n);
	}
	jw_obj_end(&w);
	size_t n = jw_end(&w);
	BUG_ON(n == 0);
	line[n] = '\n';
	return n + 1;
}

/* ---- what is known of a file's or table's content ---- */

typedef struct {
	uint64_t rows, bytes;
	uint8_t sha256[crypto_hash_sha256_BYTES];
} content;

typedef struct {
	content c;
	crypto_hash_sha256_state hash;
} counting;

static void counting_start(counting *k)
{
	*k = (counting){0};
	crypto_hash_sha256_init(&k->hash);
}

static void counting_add(counting *k, const void *p, size_t n)
{
	k->c.bytes += n;
	crypto_hash_sha256_update(&k->hash, p, n);
}

static content counting_end(counting *k)
{
	crypto_hash_sha256_final(&k->hash, k->c.sha256);
	return k->c;
}

static bool same_content(const content *a, const content *b)
{
	return a->rows == b->rows && a->bytes == b->bytes &&
	       memcmp(a->sha256, b->sha256, sizeof a->sha256) == 0;
}

/* Of all three tables, and of the range. */
static void digest_of(
	const age_range *r, const content c[AGE_TABLES], uint8_t out[AGE_DIGEST_BYTES])
{
	char text[64];
	crypto_hash_sha256_state hash;
	crypto_hash_sha256_init(&hash);
	for (unsigned t = 0; t < AGE_TABLES; t++) {
		int n = snprintf(text, sizeof text, "%" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
			r->below, c[t].rows, c[t].bytes);
		crypto_hash_sha256_update(&hash, (const uint8_t *)text, (unsigned long long)n);
		crypto_hash_sha256_update(&hash, c[t].sha256, sizeof c[t].sha256);
	}
	crypto_hash_sha256_final(&hash, out);
}

/* ---- the walk ---- */

typedef struct {
	const age_desk *d;
	const age_range *r;
	FILE *file;      /* NULL: only counted */
	bool keeps_rest; /* of packets */
} walk;

static err_t judge(age_table t, const db_rows_t *r)
{
	unsigned state;
	if (walks[t].judged < 0)
		return ERR_OK;
	state = (unsigned)db_rows_u(r, walks[t].count);
	if (states_final((states_kind)walks[t].judged, state))
		return ERR_OK;
	LOG(WARN, "age.not_final", {"table", LOG_S(age_table_name(t))},
		{"packet_id", LOG_U(db_rows_u(r, 0))}, {"state", LOG_U(state)});
	return ERR_STATE_REFUSED;
}

static err_t take_page(const walk *w, age_table t, db_rows_t *r, counting *k, uint64_t at[2])
{
	char line[LINE_BYTES];
	uint64_t first = 0;
	err_t err = ERR_OK;
	while (err == ERR_OK && db_rows_next(r)) {
		size_t n = line_write(t, r, line);
		at[0] = db_rows_u(r, 0);
		at[1] = db_rows_u(r, 1);
		first = first ? first : at[0];
		counting_add(k, line, n);
		k->c.rows++;
		err = judge(t, r);
		if (err == ERR_OK && w->file && fwrite(line, 1, n, w->file) != n)
			err = ERR_CONFIG_INVALID;
	}
	if (err == ERR_OK && t == AGE_PACKET && w->keeps_rest && first)
		err = age_keep_rest(w->d->db, first, at[0]);
	return err;
}

static err_t walk_table(const walk *w, age_table t, content *out)
{
	uint64_t at[2] = {w->r->from, 0}; /* the last row's packet and user */
	size_t count = PAGE;
	counting k;
	err_t err = ERR_OK;
	counting_start(&k);
	while (err == ERR_OK && count == PAGE) {
		db_rows_t *r;
		err = db_select(w->d->db, walks[t].page,
			DB_ARGS(db_u(at[0]), db_u(w->r->below), db_u(at[0]), db_u(at[1]),
				db_u(PAGE)),
			&r);
		if (err != ERR_OK)
			return err;
		count = db_rows_count(r);
		metrics_add(METRICS_AGE_ROWS, 0, (int64_t)count);
		err = take_page(w, t, r, &k, at);
		db_rows_free(&r);
		if (err == ERR_OK && count == PAGE && life_wait_ms(PAGE * 1000 / w->d->rows_per_s))
			err = ERR_TIMEOUT;
	}
	*out = counting_end(&k);
	return err;
}

/* ---- files ---- */

static void path_of(const age_desk *d, const age_range *r, const char *name, char out[PATH_BYTES])
{
	int n = snprintf(
		out, PATH_BYTES, "%s/%" PRIu64 "%s%s", d->folder, r->below, *name ? "/" : "", name);
	BUG_ON(n < 0 || n >= PATH_BYTES);
}

static void table_path(const age_desk *d, const age_range *r, age_table t, char out[PATH_BYTES])
{
	char name[32];
	snprintf(name, sizeof name, "%s.jsonl", age_table_name(t));
	path_of(d, r, name, out);
}

static err_t failed(const char *what, const char *path)
{
	LOG(ERROR, "age.file", {"what", LOG_S(what)}, {"path", LOG_S(path)},
		{"error", LOG_S(strerror(errno))});
	return ERR_CONFIG_INVALID;
}

static err_t sync_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;
	err_t err = ok ? ERR_OK : failed("sync", path);
	if (fd >= 0)
		close(fd);
	return err;
}

static err_t make_folder(const char *path)
{
	return mkdir(path, 0700) == 0 || errno == EEXIST ? ERR_OK : failed("mkdir", path);
}

typedef struct {
	char path[PATH_BYTES], part[PATH_BYTES + 8];
	FILE *file;
} writing;

static err_t writing_start(writing *w)
{
	snprintf(w->part, sizeof w->part, "%s.part", w->path);
	int fd = open(w->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	w->file = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (!w->file) {
		if (fd >= 0)
			close(fd);
		return failed("open", w->part);
	}
	setvbuf(w->file, NULL, _IOFBF, FILE_BUFFER_BYTES);
	return ERR_OK;
}

/* Whatever `err` is, the file is closed; it comes to its place only if all went well. */
static err_t writing_end(writing *w, err_t err)
{
	bool ok = err == ERR_OK && fflush(w->file) == 0 && fsync(fileno(w->file)) == 0;
	ok = fclose(w->file) == 0 && ok;
	if (err != ERR_OK)
		return err;
	return ok && rename(w->part, w->path) == 0 ? ERR_OK : failed("write", w->path);
}

static err_t export_table(const age_desk *d, const age_range *r, age_table t, content *out)
{
	writing w;
	table_path(d, r, t, w.path);
	err_t err = writing_start(&w);
	if (err != ERR_OK)
		return err;
	const walk over = {.d = d, .r = r, .file = w.file};
	return writing_end(&w, walk_table(&over, t, out));
}

static void sha_text(const content *c, char out[2 * crypto_hash_sha256_BYTES + 1])
{
	sodium_bin2hex(out, 2 * crypto_hash_sha256_BYTES + 1, c->sha256, sizeof c->sha256);
}

static void manifest_text(const age_range *r, const content c[AGE_TABLES], FILE *to)
{
	fprintf(to, "{\"from\":\"%" PRIu64 "\",\"below\":\"%" PRIu64 "\",\"tables\":[", r->from,
		r->below);
	for (unsigned t = 0; t < AGE_TABLES; t++) {
		char sha[2 * crypto_hash_sha256_BYTES + 1];
		sha_text(&c[t], sha);
		fprintf(to,
			"%s{\"file\":\"%s.jsonl\",\"rows\":%" PRIu64 ",\"bytes\":%" PRIu64
			",\"sha256\":\"%s\"}",
			t ? "," : "", age_table_name((age_table)t), c[t].rows, c[t].bytes, sha);
	}
	fputs("]}\n", to);
}

static err_t manifest_write(const age_desk *d, const age_range *r, const content c[AGE_TABLES])
{
	writing w;
	path_of(d, r, "manifest.json", w.path);
	err_t err = writing_start(&w);
	if (err != ERR_OK)
		return err;
	manifest_text(r, c, w.file);
	return writing_end(&w, ERR_OK);
}

err_t age_export(const age_desk *d, const age_range *r, uint64_t rows[AGE_TABLES],
	uint8_t digest[AGE_DIGEST_BYTES])
{
	content c[AGE_TABLES];
	char path[PATH_BYTES];
	path_of(d, r, "", path);
	err_t err = make_folder(d->folder);
	if (err == ERR_OK)
		err = make_folder(path);
	if (err == ERR_OK)
		err = sync_folder(d->folder);
	for (unsigned t = 0; t < AGE_TABLES && err == ERR_OK; t++)
		err = export_table(d, r, (age_table)t, &c[t]);
	if (err == ERR_OK)
		err = sync_folder(path);
	if (err == ERR_OK)
		err = manifest_write(d, r, c);
	if (err == ERR_OK)
		err = sync_folder(path);
	if (err != ERR_OK)
		return err;
	for (unsigned t = 0; t < AGE_TABLES; t++)
		rows[t] = c[t].rows;
	digest_of(r, c, digest);
	return ERR_OK;
}

/* ---- proving ---- */

/* False when it cannot be read. */
static bool read_file(const char *path, content *out)
{
	FILE *f = fopen(path, "re");
	char *buf = malloc(FILE_BUFFER_BYTES);
	counting k;
	size_t n;
	BUG_ON(!buf);
	counting_start(&k);
	while (f && (n = fread(buf, 1, FILE_BUFFER_BYTES, f)) > 0) {
		counting_add(&k, buf, n);
		for (const char *at = buf; (at = memchr(at, '\n', n - (size_t)(at - buf))); at++)
			k.c.rows++;
	}
	bool ok = f && !ferror(f);
	if (f)
		fclose(f);
	free(buf);
	*out = counting_end(&k);
	return ok;
}

static bool manifest_same(const age_desk *d, const age_range *r, const content c[AGE_TABLES])
{
	char path[PATH_BYTES], *text = NULL, there[2048];
	size_t n;
	path_of(d, r, "manifest.json", path);
	FILE *f = fopen(path, "re"), *to = open_memstream(&text, &n);
	BUG_ON(!to);
	manifest_text(r, c, to);
	fclose(to);
	bool same = f && fread(there, 1, sizeof there, f) == n && memcmp(there, text, n) == 0;
	if (f)
		fclose(f);
	free(text);
	return same;
}

static bool files_same(const age_desk *d, const age_range *r, content c[AGE_TABLES])
{
	uint8_t digest[AGE_DIGEST_BYTES];
	char path[PATH_BYTES];
	for (unsigned t = 0; t < AGE_TABLES; t++) {
		table_path(d, r, (age_table)t, path);
		if (!read_file(path, &c[t]) || c[t].rows != r->rows[t])
			return false;
	}
	digest_of(r, c, digest);
	return memcmp(digest, r->digest, sizeof digest) == 0 && manifest_same(d, r, c);
}

err_t age_verify(const age_desk *d, const age_range *r, bool *same)
{
	content in_files[AGE_TABLES], in_table;
	const walk over = {.d = d, .r = r, .keeps_rest = true};
	err_t err = ERR_OK;
	bool ok = files_same(d, r, in_files);
	for (unsigned t = 0; t < AGE_TABLES && ok && err == ERR_OK; t++) {
		err = walk_table(&over, (age_table)t, &in_table);
		ok = err == ERR_OK && same_content(&in_files[t], &in_table);
	}
	*same = ok;
	return err;
}
