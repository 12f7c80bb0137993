/* hbctl token: what the login and the host app do in production: session tokens and relation
 * grants, minted with the keys that are shared with them. */
#include "units/verb.h"

#include "base/clk.h"
#include "base/keys.h"
#include "base/parse.h"
#include "domain/session.h"
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define USAGE                                                                                      \
	"token mint --uid N [--ttl S] | token grant --viewer N --sender N --relation friend|fan "  \
	"[--ttl S]"

enum { TTL_DEFAULT_S = 3600, TTL_MAX_S = 31536000 };
static const uint64_t uid_max = 999999999999999999; /* SESSION_UID_MAX_DIGITS */

typedef struct {
	const char *uid, *viewer, *sender, *relation, *ttl;
} given_t;

static bool read_uid(const char *text, uint64_t *out)
{
	return text && parse_u64(text, uid_max, out) && *out > 0;
}

static session_relation relation_named(const char *name)
{
	return !name                     ? 0
	       : !strcmp(name, "friend") ? SESSION_FRIEND
	       : !strcmp(name, "fan")    ? SESSION_FAN
					 : 0;
}

static err_t ring_load(const char *name, keys_ring_t **out)
{
	return keys_load(conf_secret_path(verb_conf(), name), out);
}

static int mint(const given_t *g, int64_t expires_s)
{
	uint64_t uid;
	if (!read_uid(g->uid, &uid) || g->viewer || g->sender || g->relation)
		return verb_usage(USAGE);
	keys_ring_t *ring;
	const err_t e = ring_load("session.keys", &ring);
	if (e != ERR_OK)
		return verb_fail(e, "session.keys");
	char token[SESSION_TOKEN_BYTES];
	session_mint(ring, uid, expires_s, token);
	puts(token);
	keys_free(&ring);
	return VERB_DONE;
}

static int grant(const given_t *g, int64_t expires_s)
{
	uint64_t viewer, sender;
	const session_relation relation = relation_named(g->relation);
	if (!read_uid(g->viewer, &viewer) || !read_uid(g->sender, &sender) || !relation || g->uid)
		return verb_usage(USAGE);
	keys_ring_t *ring;
	const err_t e = ring_load("grant.keys", &ring);
	if (e != ERR_OK)
		return verb_fail(e, "grant.keys");
	char token[SESSION_TOKEN_BYTES];
	session_grant_mint(ring, viewer, sender, relation, expires_s, token);
	puts(token);
	keys_free(&ring);
	return VERB_DONE;
}

int token_verb(int argc, char **argv)
{
	given_t g = {0};
	const struct {
		const char *name, **into;
	} row[] = {{"uid", &g.uid}, {"viewer", &g.viewer}, {"sender", &g.sender},
		{"relation", &g.relation}, {"ttl", &g.ttl}};
	enum { ROWS = sizeof row / sizeof *row };
	struct option option[ROWS + 1] = {0};
	for (unsigned i = 0; i < ROWS; i++)
		option[i] = (struct option){row[i].name, required_argument, NULL, (int)i};
	int at;
	optind = 0;
	while ((at = getopt_long(argc, argv, "+", option, NULL)) != -1) {
		if (at == '?')
			return verb_usage(USAGE);
		*row[at].into = optarg;
	}
	uint64_t ttl_s = TTL_DEFAULT_S;
	if (optind != argc || (g.ttl && (!parse_u64(g.ttl, TTL_MAX_S, &ttl_s) || ttl_s == 0)))
		return verb_usage(USAGE);
	const int64_t expires_s = clk_wall_ms() / 1000 + (int64_t)ttl_s;
	return strcmp(argv[0], "mint") ? grant(&g, expires_s) : mint(&g, expires_s);
}
