/* orders_fixture: a cell's database with one open packet, and a finance that answers as each test
 * says, instead of lib/store/finance.c. */
#ifndef HB_TESTS_UNIT_ORDERS_FIXTURE_H
#define HB_TESTS_UNIT_ORDERS_FIXTURE_H

#include "domain/orders.h"
#include "domain/transfer.h"
#include "tests/unit/cell_db.h"
#include "tests/unit/unit.h"

typedef struct {
	err_t err;
	finance_outcome submit, query, close;
	int64_t amount_fen; /* that finance names; 0: the order's own */
	unsigned submits, queries, closes;
	void (*meanwhile)(void); /* once, while finance thinks about a query */
	finance_order last;
	char notify_url[ORDERS_URL_BYTES];
	const char *reason; /* of a refusal */
} orders_finance;

extern orders_finance fin;
extern conf_t *conf;
extern db_pool_t *pool;
extern db_t *db;         /* for looking */
extern orders_desk desk; /* its topology: odd slots are cell 1's, even ones cell 2's */

enum {
	PACKET = 100101001,
	PAYMENT = 100201001,
	CLAIM = 100301001,
	REFUND = 100401001,
	WITHDRAWAL = 100501001
};

int orders_set_up(void **state);
int orders_tear_down(void **state);
/* An open packet of 100 fen, 70 left, expired, with its paid payment and one claim of 30. */
int orders_fresh(void **state);

err_t transact(db_tx_fn fn, void *ctx);
transfer_claim the_claim(void);
err_t add_transfer(db_t *d, void *claim); /* a db_tx_fn */
void make_transfer(void);

#define CASE(name) cmocka_unit_test_setup(name, orders_fresh)

#endif
