/* doctor: what the checks of `hbctl doctor` share. A check is a row of doctor.def and a function here; it
 * says what is wrong and changes nothing. One that has said nothing is all well. */
#ifndef HB_UNITS_DOCTOR_H
#define HB_UNITS_DOCTOR_H

#include "units/verb.h"

/* In the order of their weight. */
typedef enum { DOCTOR_OK, DOCTOR_SKIPPED, DOCTOR_NOTE, DOCTOR_BAD } doctor_result;

enum { DOCTOR_GREET_MS = 1000, DOCTOR_IO_MS = 3000, DOCTOR_LINE_BYTES = 400 };

typedef struct doctor doctor_t;

bool doctor_stopped(const doctor_t *d); /* --stopped: nothing runs yet */

/* Something is to be mended; something will have to be, or could not be known; it was not looked at. */
void doctor_bad(doctor_t *d, const char *fmt, ...) PRINTF_LIKE(2, 3);
void doctor_note(doctor_t *d, const char *fmt, ...) PRINTF_LIKE(2, 3);
void doctor_skip(doctor_t *d, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Whether an address of the topology is one of this host's. */
bool doctor_here(const char *host);
/* Whether a site has a member or an nginx here. */
bool doctor_site_here(const char *site);
/* The control record; false, and nothing said, when it cannot be read: the check `etcd` says it. */
bool doctor_record(const topology_cell *cell, control_record *out);
/* Calls `look` for every member that answers as hb_ctl; those that do not are said by the check `mariadb`. */
void doctor_members(doctor_t *d,
	void (*look)(doctor_t *d, const topology_cell *cell, const topology_member *m, db_t *db));
/* Sends `request` to a server and gives its answer up to `end`, zero-terminated. */
bool doctor_ask(
	const char *host, uint16_t port, const char *request, char end, char *out, size_t bytes);
/* Whether somebody takes a connection there. */
bool doctor_listens(const char *host, uint16_t port);
/* The standard output of a command, NULL when it cannot be run or fails; the caller frees it. */
char *doctor_output(const char *command);

#define CHECK(name, when, looks_at, remedy) void doctor_##name(doctor_t *d);
#include "units/doctor.def"
#undef CHECK

#endif
