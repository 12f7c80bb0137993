/* Asking for the seed of a user's next envelope writes it, when the user has none; it is the smallest
 * write that a user can do, and moves no money. */
#include "units/probe.h"

#include "units/verb.h"

#include "base/clk.h"
#include "base/keys.h"
#include "domain/session.h"
#include <curl/curl.h>
#include <stdio.h>

enum { TRY_MS = 1000, EVERY_MS = 20, TOKEN_S = 60 };

static size_t drop(char *data, size_t size, size_t n, void *ctx)
{
	(void)data;
	(void)ctx;
	return size * n;
}

/* Eighteen digits, the first a 9, the last three a slot of the cell; one for each epoch. */
static uint64_t probe_uid(const topology_cell *cell, uint64_t epoch)
{
	unsigned slot = 0;

	while (topology_cell_of_slot(verb_topology(), slot) != cell)
		slot++;
	return 900000000000000000u + epoch % 99999999999999u * 1000 + slot;
}

static CURL *prepare(const char *token, struct curl_slist **headers)
{
	char bearer[SESSION_TOKEN_BYTES + 32];
	CURL *curl = curl_easy_init();

	BUG_ON(!curl);
	snprintf(bearer, sizeof(bearer), "Authorization: Bearer %s", token);
	*headers = curl_slist_append(NULL, bearer);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, *headers);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)TRY_MS);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop);
	return curl;
}

/* By the first front door that says anything. */
static long ask(CURL *curl)
{
	const topology_t *t = verb_topology();
	long status = 0;

	for (unsigned i = 0; i < t->nginx_count && status == 0; i++) {
		char url[128];

		snprintf(url, sizeof(url), "http://%s:%u/v1/me/seed", t->nginx[i].host,
			(unsigned)t->nginx[i].front_port);
		curl_easy_setopt(curl, CURLOPT_URL, url);
		if (curl_easy_perform(curl) == CURLE_OK)
			curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	}
	return status;
}

bool probe_writes(const topology_cell *cell, uint64_t epoch, int64_t timeout_ms, long *status)
{
	const int64_t end_ms = clk_mono_ms() + timeout_ms;
	char token[SESSION_TOKEN_BYTES];
	struct curl_slist *headers;
	keys_ring_t *ring;

	*status = 0;
	if (keys_load(conf_secret_path(verb_conf(), "session.keys"), &ring) != ERR_OK)
		return false;
	session_mint(ring, probe_uid(cell, epoch), clk_wall_ms() / 1000 + TOKEN_S, token);
	keys_free(&ring);
	CURL *curl = prepare(token, &headers);
	for (;;) {
		*status = ask(curl);
		if (*status == 200 || clk_mono_ms() >= end_ms)
			break;
		clk_sleep_ms(EVERY_MS);
	}
	curl_easy_cleanup(curl);
	curl_slist_free_all(headers);
	return *status == 200;
}
