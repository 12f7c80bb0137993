/* config: the files that operators write: hongbao.cfg, topology.cfg, flags.cfg, campaigns.cfg, keys, and a
 * campaign's rules as they stand in the database. A file is taken whole or refused with a reason that names
 * it; what is taken keeps every rule, and says the same when it is written anew.
 * Input: which (1 byte), a number (4) and a time (8) for what campaigns make of them, the text. */
#include "base/conf.h"
#include "base/parse.h"
#include "domain/campaign.h"
#include "domain/flags.h"
#include "domain/topology.h"
#include "tests/fuzz/fuzz.h"
#include "units/campaign_file.h"
#include "units/flags_text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_BYTES = 8192 };
static const int64_t time_max_ms = INT64_C(253402300799999);

typedef struct {
	const char *text;
	size_t n;
	uint32_t number;
	int64_t at_ms;
} case_t;

static void explained(const char *why, const char *path)
{
	FUZZ_CHECK(memchr(why, 0, CFG_WHY_BYTES) && strncmp(why, path, strlen(path)) == 0 &&
		   strlen(why) > strlen(path) + 2);
}

/* ---- hongbao.cfg ---- */

static char *printed(const conf_t *c, size_t *n)
{
	char *text = NULL;
	FILE *to = open_memstream(&text, n);
	FUZZ_CHECK(to);
	conf_print_file(c, to);
	FUZZ_CHECK(fclose(to) == 0);
	return text;
}

static void conf_case(const case_t *t)
{
	char why[CFG_WHY_BYTES] = "";
	conf_t *c, *again;
	size_t n, m;
	const char *path = fuzz_file(t->text, t->n, 0600);
	if (conf_load(path, why, &c) != ERR_OK) {
		explained(why, path);
		return;
	}
	char *text = printed(c, &n);
	FUZZ_CHECK(conf_load(fuzz_file(text, n, 0600), why, &again) == ERR_OK);
	char *once_more = printed(again, &m);
	FUZZ_CHECK(n == m && memcmp(text, once_more, n) == 0);
	free(once_more);
	free(text);
	conf_free(&again);
	conf_free(&c);
}

/* ---- topology.cfg ---- */

static void cell_checked(const topology_t *top, const topology_cell *c)
{
	FUZZ_CHECK(c->name[0] >= 'A' && c->name[0] <= 'Z' && c->number >= 1 && c->number <= 99);
	FUZZ_CHECK(c->member_count >= 2 && c->member_count <= TOPOLOGY_MEMBERS_MAX);
	FUZZ_CHECK(topology_member_at(c, c->active) && topology_site_named(top, c->active));
	FUZZ_CHECK(topology_cell_named(top, c->name) == c);
	for (unsigned i = 0; i < c->member_count; i++)
		FUZZ_CHECK(topology_site_named(top, c->member[i].site) &&
			   c->member[i].mysql_port > 0 && *c->member[i].host &&
			   c->member[i].core_count <= TOPOLOGY_PROGRAMS_MAX);
}

static void topology_case(const case_t *t)
{
	char why[CFG_WHY_BYTES] = "";
	topology_t *top;
	const char *path = fuzz_file(t->text, t->n, 0600);
	if (topology_load(path, why, &top) != ERR_OK) {
		explained(why, path);
		return;
	}
	FUZZ_CHECK(top->site_count >= 1 && top->site_count <= TOPOLOGY_SITES_MAX &&
		   top->cell_count >= 1 && top->cell_count <= TOPOLOGY_CELLS_MAX && *top->etcd);
	for (unsigned i = 0; i < top->cell_count; i++)
		cell_checked(top, &top->cell[i]);
	for (unsigned slot = 0; slot < TOPOLOGY_SLOTS; slot++)
		FUZZ_CHECK(top->slot_cell[slot] >= 0 &&
			   (unsigned)top->slot_cell[slot] < top->cell_count);
	topology_free(&top);
}

/* ---- flags.cfg ---- */

static void wish_checked(const flags_wish *w, const flags_row *row, int64_t at_ms)
{
	FUZZ_CHECK(w->percent >= 0 && w->percent <= 100 && w->expires_at_ms >= 0);
	FUZZ_CHECK(w->interfaces >> row->interface_count == 0);
	FUZZ_CHECK(row->kind != FLAGS_QUEUE || w->percent == 0 || w->percent == 100);
	const int off = flags_off_percent(w, "", at_ms);
	FUZZ_CHECK(off == 0 || (w->off && off == w->percent));
}

/* hbctl puts a flag into the file and takes it out again: everything else stays as it was. */
static void edited(const char *text, const flags_wish *was, flags_id id)
{
	char why[CFG_WHY_BYTES];
	flags_wish now[FLAGS_COUNT];
	const char *name = flags_table()[id].name;
	const flags_wish wish = {
		.given = true, .off = true, .percent = 100, .set_at_ms = 1, .reason = "fuzz"};
	char *group = flags_text_group(id, &wish);
	char *with = flags_text_with(text, name, group);
	char *without = flags_text_with(with, name, "");
	FUZZ_CHECK(flags_parse("f", with, now, why) == ERR_OK);
	FUZZ_CHECK(now[id].off && strcmp(now[id].reason, "fuzz") == 0);
	for (unsigned i = 0; i < FLAGS_COUNT; i++)
		FUZZ_CHECK(i == id || memcmp(&now[i], &was[i], sizeof now[i]) == 0);
	FUZZ_CHECK(flags_parse("f", without, now, why) == ERR_OK && !now[id].given);
	for (unsigned i = 0; i < FLAGS_COUNT; i++)
		FUZZ_CHECK(i == id || memcmp(&now[i], &was[i], sizeof now[i]) == 0);
	free(without);
	free(with);
	free(group);
}

static void flags_case(const case_t *t)
{
	static flags_wish wish[FLAGS_COUNT];
	char why[CFG_WHY_BYTES] = "";
	const char *path = fuzz_file(t->text, t->n, 0600);
	char *text = cfg_slurp(path, why);
	if (!text || flags_parse(path, text, wish, why) != ERR_OK) {
		explained(why, path);
	} else {
		const int64_t version = flags_version(text);
		FUZZ_CHECK(version >= 1 && version < INT64_C(1) << 53);
		for (unsigned i = 0; i < FLAGS_COUNT; i++)
			wish_checked(&wish[i], &flags_table()[i], t->at_ms);
		edited(text, wish, (flags_id)(t->number % FLAGS_COUNT));
	}
	free(text);
}

/* ---- campaigns ---- */

/* What the rain makes of it at some time, and of some round. */
static void rounds(const campaign_t *c, const case_t *t)
{
	campaign_round r;
	const campaign_state s = campaign_at(c, t->at_ms, &r);
	if (s != CAMPAIGN_ENDED)
		FUZZ_CHECK(r.number >= 1 && r.number <= CAMPAIGN_ROUND_MAX &&
			   r.starts_at_ms < r.ends_at_ms && t->at_ms < r.ends_at_ms);
	if (s == CAMPAIGN_RAINING)
		FUZZ_CHECK(t->at_ms >= r.starts_at_ms);
	if (!campaign_round_of(c, t->number, &r))
		return;
	FUZZ_CHECK(r.number == t->number && r.starts_at_ms >= c->starts_at_ms &&
		   r.starts_at_ms < r.ends_at_ms && r.starts_at_ms <= time_max_ms);
	FUZZ_CHECK((r.starts_at_ms - c->starts_at_ms) / c->every_ms == t->number - 1);
	FUZZ_CHECK(
		campaign_expiry(c, &r) > r.starts_at_ms && campaign_expiry(c, &r) <= time_max_ms);
}

static void written(const campaign_t *c)
{
	char text[BODY_BYTES];
	campaign_t again = {0};
	jw_t w;
	jw_start_fixed(&w, text, sizeof text);
	campaign_write(c, &w);
	const size_t n = jw_end(&w);
	FUZZ_CHECK(n > 0 && campaign_read(text, n, &again) == ERR_OK);
	FUZZ_CHECK(again.starts_at_ms == c->starts_at_ms && again.ends_at_ms == c->ends_at_ms &&
		   again.every_ms == c->every_ms && again.lasts_ms == c->lasts_ms &&
		   again.expiry_ms == c->expiry_ms && again.lease_fen == c->lease_fen &&
		   again.limit == c->limit && again.prizes == c->prizes &&
		   strcmp(again.key_id, c->key_id) == 0 &&
		   memcmp(again.prize, c->prize, c->prizes * sizeof *c->prize) == 0);
}

static void column_case(const case_t *t)
{
	campaign_t c = {0};
	if (campaign_read(t->text, t->n, &c) != ERR_OK)
		return;
	FUZZ_CHECK(c.prizes >= 1 && c.prizes <= CAMPAIGN_PRIZES_MAX && c.lasts_ms <= c.every_ms);
	written(&c);
	rounds(&c, t);
}

static void campaigns_case(const case_t *t)
{
	static campaign_wanted wanted[CAMPAIGNS_MAX];
	static topology_t top = {
		.cell = {{.name = "A", .number = 1}, {.name = "B", .number = 2}}, .cell_count = 2};
	unsigned count;
	if (campaign_file_read(fuzz_file(t->text, t->n, 0600), &top, wanted, &count) != ERR_OK)
		return;
	FUZZ_CHECK(count >= 1 && count <= CAMPAIGNS_MAX);
	for (unsigned i = 0; i < count; i++) {
		uint64_t ppm = 0;
		for (unsigned k = 0; k < wanted[i].c.prizes; k++) {
			ppm += wanted[i].c.prize[k].ppm;
			FUZZ_CHECK(wanted[i].c.prize[k].amount_fen >= 1);
		}
		FUZZ_CHECK(ppm <= CAMPAIGN_PPM && *wanted[i].c.name);
		FUZZ_CHECK(wanted[i].budget[0] >= 0 && wanted[i].budget[1] >= 0);
		/* What apply writes, the rain must be able to read. */
		written(&wanted[i].c);
		rounds(&wanted[i].c, t);
	}
}

/* ---- keys ---- */

static void keys_case(const case_t *t)
{
	keys_ring_t *ring;
	if (keys_load(fuzz_file(t->text, t->n, 0400), &ring) != ERR_OK)
		return;
	uint8_t mac[32];
	const keys_part part = {t->text, t->n};
	char id[KEYS_ID_BYTES];
	keys_current_id(ring, id);
	FUZZ_CHECK(strlen(id) >= 1 && strlen(id) < KEYS_ID_BYTES);
	FUZZ_CHECK(keys_sign(ring, id, &part, 1, mac));
	FUZZ_CHECK(keys_verify(ring, id, &part, 1, mac));
	if (keys_allows(ring, id, "campaign", "demo"))
		FUZZ_CHECK(strstr(t->text, " campaign:demo") || strstr(t->text, " campaign:*"));
	keys_free(&ring);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const kinds[])(const case_t *) = {
		conf_case, topology_case, flags_case, campaigns_case, column_case, keys_case};
	fuzz_input in = {data, size};
	const uint64_t kind = fuzz_number(&in, 1) % (sizeof kinds / sizeof *kinds);
	case_t t = {.number = (uint32_t)fuzz_number(&in, 4)};
	t.at_ms = (int64_t)(fuzz_number(&in, 8) % (uint64_t)time_max_ms);
	char *text = fuzz_rest(&in);
	t.text = text;
	t.n = in.left;
	kinds[kind](&t);
	free(text);
	return 0;
}
