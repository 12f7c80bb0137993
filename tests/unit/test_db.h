/* test_db: what its three files share. */
#ifndef HB_TESTS_TEST_DB_H
#define HB_TESTS_TEST_DB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/db.h"
#include "tests/unit/server_tests.h"

extern db_target test_target; /* through the proxy; io 2 s, lock wait 1 s */
extern proxy_t *test_proxy;

db_t *open_db(void);
err_t script(db_t *db, const char *sql) MUST_CHECK;
err_t insert_row(db_t *db, uint64_t id) MUST_CHECK;
bool has_row(uint64_t id); /* on a connection of its own */

#define DB_TESTS_LOST(T)                                                                           \
	T(a_connection_lost_in_a_transaction_keeps_nothing)                                        \
	T(a_killed_connection_is_lost)                                                             \
	T(a_stopped_server_is_noticed_in_time)                                                     \
	T(a_commit_whose_answer_is_lost_is_unknown_and_done)                                       \
	T(a_commit_that_never_arrived_is_unknown_and_not_done)                                     \
	T(a_lost_write_without_transaction_is_unknown)                                             \
	T(a_lost_read_is_just_lost)                                                                \
	T(connecting_to_a_stopped_server_ends_in_time)

#define DB_TESTS_POOL(T)                                                                           \
	T(the_pool_is_bounded_in_number_and_time)                                                  \
	T(a_waiting_thread_gets_what_is_given_back)                                                \
	T(an_unreachable_server_does_not_hold_every_caller)                                        \
	T(connections_closed_by_the_server_are_replaced_unnoticed)                                 \
	T(what_is_left_open_is_rolled_back)                                                        \
	T(a_deadlock_is_run_again)                                                                 \
	T(tries_are_bounded)                                                                       \
	T(an_error_of_the_function_is_returned_and_rolled_back)                                    \
	T(an_unknown_commit_is_run_again_and_finds_its_effect)                                     \
	T(a_server_that_stays_away_leaves_the_outcome_unknown)

#define DECLARE(name) void name(void **state);
DB_TESTS_LOST(DECLARE)
DB_TESTS_POOL(DECLARE)
#undef DECLARE

#endif
