/* Which partners there are is read once, at start: one that comes or goes takes effect when hb-core
 * restarts, one after the other. Their rings follow their files, like any. */
#include "domain/partner.h"

#include "base/logger.h"
#include "base/signature.h"
#include "domain/subsidy.h"
#include <glob.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
	char name[SUBSIDY_ISSUER_BYTES];
	keys_ring_t *keys;
} partner_row;

struct partner {
	unsigned count;
	partner_row row[PARTNER_MAX];
};

static const char prefix[] = "partner.", suffix[] = ".keys";

static err_t refuse(const char *path, const char *why)
{
	LOG(ERROR, "partner.invalid", {"file", LOG_S(path)}, {"why", LOG_S(why)});
	return ERR_CONFIG_INVALID;
}

static err_t add(partner_t *p, const char *path)
{
	const char *name = strrchr(path, '/') + sizeof prefix;
	const size_t n = strlen(name) - (sizeof suffix - 1);
	if (p->count == PARTNER_MAX)
		return refuse(path, "there are too many partners");
	partner_row *row = &p->row[p->count];
	if (n >= sizeof row->name)
		return refuse(path, "a partner's name has at most 16 characters");
	memcpy(row->name, name, n);
	if (!subsidy_partner_ok(row->name))
		return refuse(path, "a partner's name is of a-z 0-9 -, and not the rain's");
	const err_t e = keys_load(path, &row->keys);
	p->count += e == ERR_OK;
	return e;
}

err_t partner_load(const conf_t *conf, partner_t **out)
{
	glob_t files = {0};
	err_t e = ERR_OK;
	partner_t *p = calloc(1, sizeof *p);
	BUG_ON(!p);
	const int rc = glob(conf_secret_path(conf, "partner.*.keys"), 0, NULL, &files);
	if (rc != 0 && rc != GLOB_NOMATCH)
		e = refuse(conf_s(conf, CONF_SECRETS), "the folder cannot be read");
	for (size_t i = 0; e == ERR_OK && i < files.gl_pathc; i++)
		e = add(p, files.gl_pathv[i]);
	globfree(&files);
	if (e == ERR_OK)
		*out = p;
	else
		partner_free(&p);
	return e;
}

void partner_free(partner_t **p)
{
	if (!*p)
		return;
	for (unsigned i = 0; i < (*p)->count; i++)
		keys_free(&(*p)->row[i].keys);
	free(*p);
	*p = NULL;
}

err_t partner_verify(const partner_t *p, int64_t now_s, int64_t skew_s, const char *header,
	const char *method, const char *path, const void *body, size_t n, partner_caller *out)
{
	char who[SIGNATURE_WHO_BYTES], id[SIGNATURE_ID_BYTES];
	partner_caller c = {0};
	if (!signature_who(header, who, c.key_id))
		return ERR_SIGNATURE_INVALID;
	for (unsigned i = 0; i < p->count && !c.name; i++)
		if (strcmp(p->row[i].name, who) == 0) {
			c.name = p->row[i].name;
			c.keys = p->row[i].keys;
		}
	if (!c.name)
		return ERR_SIGNATURE_INVALID;
	const err_t e =
		signature_verify(c.keys, c.name, now_s, skew_s, header, method, path, body, n, id);
	if (e == ERR_OK)
		*out = c;
	return e;
}

bool partner_may(const partner_caller *c, const char *campaign)
{
	return keys_allows(c->keys, c->key_id, "campaign", campaign);
}
