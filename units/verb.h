/* verb: what hbctl's verbs share. A verb is a row of the table in hbctl.c and a function here; its
 * argv[0] is its own name (e.g. "verify"), then come its arguments. It returns an exit code. */
#ifndef HB_UNITS_VERB_H
#define HB_UNITS_VERB_H

#include "base/conf.h"
#include "domain/topology.h"
#include "store/control.h"
#include "store/db.h"
#include <time.h>

typedef enum {
	VERB_DONE = 0,
	VERB_FAILED = 1,
	VERB_USAGE = 2,
	VERB_REFUSED = 3,     /* and nothing changed */
	VERB_PARTLY = 4,      /* says what to run next */
	VERB_UNKNOWN = 5,     /* the outcome is not known */
	VERB_UNREACHABLE = 6, /* a server does not answer */
	VERB_DIFFERENCES = 10,
} verb_exit;

int keys_verb(int argc, char **argv);
int audit_verb(int argc, char **argv);
int capacity_verb(int argc, char **argv);
int campaign_verb(int argc, char **argv);
int fairness_verb(int argc, char **argv);
int flags_verb(int argc, char **argv);
int token_verb(int argc, char **argv);
int metrics_verb(int argc, char **argv);
int trace_verb(int argc, char **argv);
int config_verb(int argc, char **argv);
int orders_verb(int argc, char **argv);
int states_verb(int argc, char **argv);
int schema_verb(int argc, char **argv);
int cells_verb(int argc, char **argv);
int failover_verb(int argc, char **argv);
int readmit_verb(int argc, char **argv);
int switchover_verb(int argc, char **argv);
int drain_verb(int argc, char **argv);
int unprotect_verb(int argc, char **argv);
int replicate_verb(int argc, char **argv);
int status_verb(int argc, char **argv);
int member_verb(int argc, char **argv);
int nginx_verb(int argc, char **argv);
int subsidies_verb(int argc, char **argv);
int reconcile_verb(int argc, char **argv);
int doctor_verb(int argc, char **argv);
int units_verb(int argc, char **argv);

/* Loaded on first use from --config (else $HB_CONFIG, else /etc/hongbao/hongbao.cfg); a missing or
 * bad file ends hbctl with its reason and VERB_FAILED. */
const conf_t *verb_conf(void);
const char *verb_config(void); /* its path */
const topology_t *verb_topology(void);
control_t *verb_control(void);
/* A cell of the topology by name; an unknown one ends hbctl with VERB_USAGE. */
const topology_cell *verb_cell(const char *name);

bool verb_json(void); /* -o json */
/* Where nginx/, sql/ and web/ are: --share, $HB_SHARE or /usr/share/hongbao. */
const char *verb_share(void);
/* Where live/, run/, log/ and audit/ are: --state, $HB_STATE or /var/lib/hongbao. */
const char *verb_state(void);
/* The first line of the file `name` in paths.secrets, without its end. */
err_t verb_secret(const char *name, char *out, size_t bytes) MUST_CHECK;
/* An admin's connection (user hb_ctl) to a member, through its extra port while that answers;
 * database "" for none; io_ms for one answer. */
err_t verb_db(const topology_member *m, const char *database, int64_t io_ms, db_t **out) MUST_CHECK;
/* Orders that were asked about in vain too often; at most as many as `orders stuck` lists. */
err_t orders_count_stuck(db_t *db, uint64_t *out) MUST_CHECK;

/* Writes beside, syncs and renames: readers see the old file or the new one. */
err_t verb_write_file(const char *path, const char *data, size_t n) MUST_CHECK;

/* The same with mode 0400; `at`: the time that the file shall have, NULL: now. */
err_t verb_write_secret(
	const char *path, const char *data, size_t n, const struct timespec *at) MUST_CHECK;

/* "hbctl: <what>: <title of e>" to stderr; returns the exit code that fits e. */
int verb_fail(err_t e, const char *what, ...) PRINTF_LIKE(2, 3);
/* Of a verb that has changed something already: VERB_DONE or VERB_PARTLY, never a code that says that nothing was
 * changed; unless `code` has said so, says that the same command goes on. */
int verb_begun(int code);
int verb_usage(const char *text); /* "usage: hbctl <text>"; returns VERB_USAGE */

#endif
