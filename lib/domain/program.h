/* program: what every program has: arguments, configuration, topology, logging, metrics, keys, its
 * cell, the epoch it was given, and its database. Parses `--config FILE --cell A --site east
 * --instance N --live FILE` (and hands back the rest). The go-live file is written by hbctl: `epoch
 * = 1L; primary = "east";`. It makes the programs at that site active, with that epoch; those at other
 * sites, and those without such a file, are standbys, which serve nobody. Whenever it changes, the
 * program ends in order and runs itself anew (program_exit), so that nothing is kept across an epoch. */
#ifndef HB_DOMAIN_PROGRAM_H
#define HB_DOMAIN_PROGRAM_H

#include "base/breaker.h"
#include "base/conf.h"
#include "base/keys.h"
#include "domain/topology.h"
#include "store/cache.h"
#include "store/db.h"
#include "store/finance.h"
#include "store/mq.h"
#include "store/peer.h"

typedef struct {
	conf_t *conf;
	topology_t *topo;
	const topology_cell *cell; /* ours */
	char site[16];
	int instance;
	bool active;                /* false: a standby */
	uint64_t epoch;             /* of the go-live file; 0 when there is none */
	keys_ring_t *session_keys;  /* secrets/session.keys: shared with whoever logs users in */
	keys_ring_t *grant_keys;    /* secrets/grant.keys: shared with the host app */
	keys_ring_t *seal_keys;     /* secrets/seal.keys: ours alone; seeds and cursors */
	keys_ring_t *finance_keys;  /* secrets/finance.keys */
	keys_ring_t *internal_keys; /* secrets/internal.keys: between our programs of all cells */
	finance_limits_t *finance_limits;
	char agent[64]; /* who we are to finance: "hb-core A 1" */
	db_target db; /* our site's member, which is the primary; user and password as `db_user` */
} program_t;

/* `name` e.g. "hb-core"; `db_user` e.g. "hb_core", whose password is secrets/db.<db_user>. Ends the
 * process with a clear message and exit 1 or 2 (usage) when something is missing. *argi: index of
 * the first argument that is not an option. life_start is called here with on_stop. */
program_t *program_start(int argc, char **argv, const char *name, const char *db_user,
	void (*on_stop)(void *), void *ctx, int *argi);
void program_end(program_t **p);
/* The last of main(): ends *p; when the go-live file has changed, does not return but runs the program
 * anew, in the same process; else returns `code`. */
int program_exit(program_t **p, int code) MUST_CHECK;
/* When threads still use what program_end would free: ends the process with `code`, or runs it anew. */
_Noreturn void program_quit(int code);

err_t program_db_pool(const program_t *p, unsigned connections, db_pool_t **out) MUST_CHECK;
/* How the options say that a dependency is judged; not for BREAKER_FINANCE, whose own is. */
void program_breaker(const program_t *p, breaker_of of, breaker_conf *out);
err_t program_cache(const program_t *p, unsigned handles, cache_t **out) MUST_CHECK;
/* RabbitMQ's nodes and our user, all but the password. */
void program_mq_nodes(const topology_t *topo, mq_target *out);
/* Reads secrets/mq.hongbao; ends the process like program_start when it cannot. */
void program_mq_target(const program_t *p, mq_target *out);
/* Our own programs, wherever they are, through the internal listener. */
void program_peer_target(const program_t *p, peer_target *out);
void program_finance_target(const program_t *p, finance_target *out);
bool program_owns_slot(const program_t *p, unsigned slot);

#endif
