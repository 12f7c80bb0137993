/* subsidy_fixture: one campaign in an empty cell's database, and what tests of subsidies do with it, each
 * act a transaction of its own. */
#ifndef HB_TESTS_UNIT_SUBSIDY_FIXTURE_H
#define HB_TESTS_UNIT_SUBSIDY_FIXTURE_H

#include "domain/ledger.h"
#include "domain/subsidy.h"
#include "tests/unit/cell_db.h"
#include "tests/unit/unit.h"

enum { CAMPAIGN = 7, LEASE = 500101001, UID = 5001, AMOUNT = 188, NOW = 1000, EXPIRES = 9000 };
enum { THREADS = 8 };
static const uint64_t win_id = 7000000000000001001; /* a rain's number of slot 001 */

extern db_pool_t *pool;
extern db_t *db; /* for looking */
extern numbers_t *numbers;

/* Of a group; of a test: a campaign that has 1,000 fen left in this cell and a lease of 500 out. */
int subsidy_set_up(void **state);
int subsidy_tear_down(void **state);
int subsidy_fresh(void **state);

/* What one transaction of a test does. */
typedef struct {
	token_win win;
	const token_win *wins; /* of subsidy_record_all */
	size_t win_count;
	bool records, spends, expires, settles;
	uint64_t subsidy_id, packet_id;
	int64_t now_ms, returned_fen;
	subsidy_row row;
	bool did;
	err_t err;
} act;

err_t run(act *a);
/* At once, each in a thread. */
void run_all(act *a, unsigned n);

token_win the_win(void);
act recording(void);
act spending(uint64_t packet_id);

/* Of all bookings of a kind; what the campaign has left. */
int64_t booked(ledger_booking kind);
int64_t campaign_has(void);

#endif
