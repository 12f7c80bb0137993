#include "tests/unit/claim_fixture.h"

#include "domain/outbox.h"
#include "domain/states.h"
#include "tests/unit/files.h"
#include "tests/unit/unit.h"

#include <glob.h>
#include <inttypes.h>

static const char *folder;

static void run_text(claim_fixture *f, const char *sql, db_row_fn on_row, void *ctx)
{
	assert_int_equal(db_script(f->db, sql, strlen(sql), on_row, ctx), ERR_OK);
}

void fixture_run(claim_fixture *f, const char *fmt, ...)
{
	char sql[2000];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(sql, sizeof(sql), fmt, ap);
	va_end(ap);
	run_text(f, sql, NULL, NULL);
}

static void on_value(
	void *ctx, unsigned result, unsigned cols, char *const *col, const unsigned long *len)
{
	(void)result, (void)cols, (void)len;
	*(uint64_t *)ctx = col[0] ? strtoull(col[0], NULL, 10) : 0;
}

uint64_t fixture_value(claim_fixture *f, const char *fmt, ...)
{
	char sql[2000];
	uint64_t value = 0;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(sql, sizeof(sql), fmt, ap);
	va_end(ap);
	run_text(f, sql, on_value, &value);
	return value;
}

/* ---- the schema ---- */

static char *read_file(const char *path)
{
	FILE *in = fopen(path, "r");
	char *text = calloc(1, 1 << 20);

	assert_non_null(in);
	assert_non_null(text);
	assert_true(fread(text, 1, (1 << 20) - 1, in) > 0);
	fclose(in);
	return text;
}

static void drop_tables(claim_fixture *f, const char *text)
{
	for (const char *at = strstr(text, "CREATE TABLE "); at; at = strstr(at, "CREATE TABLE ")) {
		at += strlen("CREATE TABLE ");
		fixture_run(f, "DROP TABLE IF EXISTS %.*s", (int)strcspn(at, " ("), at);
	}
}

static void make_schema(claim_fixture *f)
{
	const char *source = getenv("srcdir");
	char pattern[300];
	glob_t files;

	snprintf(pattern, sizeof(pattern), "%s/sql/migrations/*.sql", source ? source : ".");
	assert_int_equal(glob(pattern, 0, NULL, &files), 0);
	for (int make = 0; make < 2; make++) {
		for (size_t i = 0; i < files.gl_pathc; i++) {
			char *text = read_file(files.gl_pathv[i]);
			if (make)
				run_text(f, text, NULL, NULL);
			else
				drop_tables(f, text);
			free(text);
		}
	}
	globfree(&files);
	fixture_run(f, "INSERT INTO cell_epoch VALUES (1, 'A', %d)", FIXTURE_EPOCH);
}

int fixture_setup(void **state)
{
	claim_fixture *f = calloc(1, sizeof(*f));
	server_address server;
	db_target direct;

	assert_non_null(f);
	*state = f;
	server_from_env("HB_TEST_MYSQL", true, &server);
	f->proxy = proxy_start(&server);
	direct = (db_target){
		.port = server.port, .connect_ms = 2000, .io_ms = 30000, .lock_wait_s = 2};
	snprintf(direct.host, sizeof(direct.host), "%s", server.host);
	snprintf(direct.user, sizeof(direct.user), "%s", server.user);
	snprintf(direct.password, sizeof(direct.password), "%s", server.password);
	snprintf(direct.database, sizeof(direct.database), "%s", server.name);
	f->target = direct;
	f->target.port = proxy_port(f->proxy);
	f->target.io_ms = 1000;
	f->target.epoch = FIXTURE_EPOCH;
	f->direct = direct;
	f->direct.epoch = FIXTURE_EPOCH;
	folder = files_dir();
	assert_int_equal(keys_init(), ERR_OK);
	assert_int_equal(keys_load(files_write(folder, "seal.keys", 0400,
					   "k1 00112233445566778899aabbccddeeff"
					   "00112233445566778899aabbccddeeff\n"),
				 &f->ring),
		ERR_OK);
	assert_int_equal(db_open(&direct, &f->db), ERR_OK);
	make_schema(f);
	f->shares = shares_new(f->ring, 1 << 20);
	assert_int_equal(db_pool_new(&direct, 16, 5000, &f->pool), ERR_OK);
	assert_int_equal(numbers_new(f->pool, 1, 1000, &f->numbers), ERR_OK);
	return 0;
}

int fixture_teardown(void **state)
{
	claim_fixture *f = *state;

	numbers_free(&f->numbers);
	db_pool_free(&f->pool);
	shares_free(&f->shares);
	keys_free(&f->ring);
	db_close(&f->db);
	proxy_stop(&f->proxy);
	free(f);
	files_remove_dir(folder);
	return 0;
}

/* ---- packets ---- */

uint64_t fixture_packet_new(claim_fixture *f, const fixture_packet *p)
{
	uint8_t seed[32], sealed[32 + KEYS_SEAL_OVERHEAD];
	char hex[2 * sizeof(sealed) + 1];
	const uint64_t n = ++f->packets;
	const uint64_t id = (500 + n) * 100000 + 1000 + n % 1000;
	const bool unpaid = p->state == STATES_PACKET_UNPAID;

	memset(seed, (int)n, sizeof(seed));
	shares_seal(f->shares, n, seed, sealed);
	for (size_t i = 0; i < sizeof(sealed); i++)
		sprintf(hex + 2 * i, "%02x", sealed[i]);
	fixture_run(f,
		"INSERT INTO packet (packet_id, sender, kind, split, scope, state, count, "
		"remaining_count, total, remaining, created_at, expires_at, seed_id, seed, nonce, "
		"commitment, greeting, video_id) VALUES (%" PRIu64
		",%d,1,%d,%d,%u,%u,%u,%lld,%lld,%lld,%lld,%" PRIu64
		",x'%s','nonce',REPEAT('c',32),'',NULL)",
		id, FIXTURE_SENDER, SPLIT_LUCKY, p->scope ? (int)p->scope : PACKET_PUBLIC,
		p->state ? p->state : STATES_PACKET_OPEN, p->count, p->count,
		(long long)p->total_fen, (long long)p->total_fen, (long long)FIXTURE_NOW,
		(long long)(p->expires_at_ms ? p->expires_at_ms : FIXTURE_NOW + FIXTURE_DAY), n,
		hex);
	fixture_run(f,
		"INSERT INTO payment (order_no,packet_id,payer,amount,state,next_check_at,"
		"expires_at,created_at,changed_at) VALUES (%" PRIu64 ",%" PRIu64
		",%d,%lld,%d,0,0,0,0)",
		id + 500000000000, id, FIXTURE_SENDER, (long long)p->total_fen,
		unpaid ? STATES_PAYMENT_PENDING : STATES_PAYMENT_PAID);
	return id;
}

void fixture_process_start(fixture_process *p, claim_fixture *f, const db_target *target,
	const claim_service_conf *c, const char *options[][2])
{
	claim_service_conf conf = *c;
	char why[256];

	assert_int_equal(conf_load(NULL, why, &p->program.conf), ERR_OK);
	for (; (*options)[0]; options++)
		assert_int_equal(
			conf_set(p->program.conf, (*options)[0], (*options)[1], why), ERR_OK);
	p->program.db = *target;
	p->program.epoch = FIXTURE_EPOCH;
	conf.program = &p->program;
	conf.shares = f->shares;
	assert_int_equal(claim_service_new(&conf, &p->service), ERR_OK);
}

void fixture_process_end(fixture_process *p)
{
	claim_service_free(&p->service);
	conf_free(&p->program.conf);
}

/* ---- the books ---- */

typedef struct {
	claim_fixture *f;
	uint64_t wrong, events;
} check;

/* One row per packet that has claims: are its amounts those of its shares? */
static void on_claim(
	void *ctx, unsigned result, unsigned cols, char *const *col, const unsigned long *len)
{
	check *c = ctx;
	uint8_t seed[32];
	int64_t share[512];
	const uint64_t id = strtoull(col[0], NULL, 10);
	const uint32_t idx = (uint32_t)strtoul(col[1], NULL, 10);

	(void)result, (void)cols, (void)len;
	memset(seed, (int)strtoull(col[3], NULL, 10), sizeof(seed));
	split_input in = {.packet_id = id,
		.total_fen = strtoll(col[4], NULL, 10),
		.count = (uint32_t)strtoul(col[5], NULL, 10),
		.kind = SPLIT_LUCKY,
		.nonce = "nonce",
		.nonce_len = 5};
	memcpy(in.seed, seed, sizeof(seed));
	split_shares(&in, share);
	c->wrong += share[idx] != strtoll(col[2], NULL, 10);
}

static void on_outbox(
	void *ctx, unsigned result, unsigned cols, char *const *col, const unsigned long *len)
{
	check *c = ctx;
	outbox_events e;

	(void)result, (void)cols;
	assert_int_equal(outbox_parse(OUTBOX_CLAIMS, col[0], len[0], &e), ERR_OK);
	for (size_t i = 0; i < e.count; i++) {
		const outbox_event *v = &e.event[i];
		fixture_run(c->f,
			"INSERT INTO event VALUES (%" PRIu64 ",%" PRIu64 ",%" PRIu64
			",%lld,%" PRIu64 ",%u,%lld)",
			v->no, v->packet_id, v->uid, (long long)v->amount_fen, v->sender,
			v->packet_kind, (long long)v->claimed_at_ms);
	}
	c->events += e.count;
	outbox_events_free(&e);
}

static void check_events(claim_fixture *f)
{
	check c = {.f = f};
	static const char rows[] = "SELECT payload FROM outbox WHERE kind = 1 ORDER BY id";
	db_t *reader = NULL;

	fixture_run(f, "CREATE TEMPORARY TABLE event (no BIGINT UNSIGNED PRIMARY KEY,"
		       " p BIGINT UNSIGNED, u BIGINT UNSIGNED, a BIGINT, s BIGINT UNSIGNED,"
		       " k INT, t BIGINT)");
	assert_int_equal(db_pool_take(f->pool, &reader), ERR_OK);
	assert_int_equal(db_script(reader, rows, sizeof(rows) - 1, on_outbox, &c), ERR_OK);
	db_pool_give(f->pool, &reader);
	assert_int_equal(c.events, fixture_value(f, "SELECT COUNT(*) FROM claim"));
	assert_int_equal(c.events,
		fixture_value(f, "SELECT COUNT(*) FROM event e JOIN claim c ON c.claim_no = e.no"
				 " AND c.packet_id = e.p AND c.uid = e.u AND c.amount = e.a"
				 " AND c.claimed_at = e.t JOIN packet p ON p.packet_id = e.p"
				 " AND p.sender = e.s AND p.kind = e.k"));
	fixture_run(f, "DROP TEMPORARY TABLE event");
}

void fixture_check_books(claim_fixture *f)
{
	check c = {.f = f};

	assert_int_equal(
		fixture_value(f, "SELECT COUNT(*) FROM packet p LEFT JOIN (SELECT packet_id,"
				 " COUNT(*) n, SUM(amount) a, MAX(idx) last FROM claim"
				 " GROUP BY packet_id) c USING (packet_id)"
				 " WHERE p.count - p.remaining_count <> COALESCE(n, 0)"
				 " OR p.total - p.remaining <> COALESCE(a, 0)"
				 " OR COALESCE(last + 1, 0) <> COALESCE(n, 0)"
				 " OR (p.remaining_count = 0) <> (p.state = 3)"),
		0);
	assert_int_equal(
		fixture_value(f, "SELECT COUNT(*) - COUNT(DISTINCT claim_no) FROM claim"), 0);
	assert_int_equal(
		fixture_value(f,
			"SELECT COUNT(*) FROM claim WHERE claim_no %% 1000 <> packet_id %% 1000"),
		0);
	run_text(f,
		"SELECT c.packet_id, c.idx, c.amount, p.seed_id, p.total, p.count"
		" FROM claim c JOIN packet p USING (packet_id) WHERE p.count <= 512",
		on_claim, &c);
	assert_int_equal(c.wrong, 0);
	check_events(f);
}
