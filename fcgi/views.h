/* views: the JSON shapes of packets and claims and who may see them, in one place, because several
 * handlers show the same thing. */
#ifndef HB_FCGI_VIEWS_H
#define HB_FCGI_VIEWS_H

#include "domain/claim.h"
#include "domain/flags.h"
#include "domain/packet.h"
#include "domain/token_list.h"
#include "domain/transfer.h"
#include "domain/withdrawal.h"
#include "fcgi/app.h"

enum { VIEWS_COUNTS = 1 }; /* with remaining_count and claimed_count */

void views_packet(jw_t *w, const char *key, const packet_row *p, int64_t now_ms, unsigned flags);
void views_claim(jw_t *w, const char *key, const claim_row *c, transfer_end end);
/* How far the money of a claim is; pending while there is no transfer row. */
err_t views_transfer_end(db_t *db, uint64_t claim_no, transfer_end *out) MUST_CHECK;

/* `poll_ms`: when to ask again; 0: not said. */
void views_withdrawal(jw_t *w, const withdrawal_row *row, int64_t poll_ms);

/* What is said of a packet of the path that is not there: ERR_PACKET_AGED when it has left. Asks the
 * database. */
err_t views_not_found(const app_call_t *c) MUST_CHECK;

/* Loads the packet of the path for somebody who may see its claims: the sender, and those who have
 * claimed. ERR_NOT_FOUND, ERR_FORBIDDEN. */
err_t views_insider(app_call_t *c, db_t *db, packet_row *out) MUST_CHECK;

/* The caller's wins that may not be recorded yet (token_list.h). */
err_t views_token_list(
	const app_call_t *c, token_list_entry *out, size_t *count, bool *complete) MUST_CHECK;

/* "degraded": [the flag's name], of an answer that the flag has made smaller. */
void views_degraded(jw_t *w, flags_id flag);
/* An empty page of a list that is switched off. */
err_t views_degraded_list(app_call_t *c, flags_id flag) MUST_CHECK;

#endif
