/* faults: how the simulated institution behaves, per order kind; rows in knobs.def. Whether a
 * probability strikes is a function of seed, knob, order number and how often it was asked, not of
 * thread timing: a run repeats with its seed. Threads: all safe. */
#ifndef HB_SIM_FAULTS_H
#define HB_SIM_FAULTS_H

#include "base/jw.h"
#include "store/finance.h"

typedef enum {
#define KNOB(id, name, pay, transfer, refund, withdraw, most, help) FAULTS_##id,
#include "sim/knobs.def"
#undef KNOB
	FAULTS_KNOBS
} faults_knob;

typedef struct faults faults_t;

faults_t *faults_new(uint64_t seed);
void faults_free(faults_t **f);

int64_t faults_get(faults_t *f, finance_kind kind, faults_knob knob);
/* Rolls a "%" knob for this order. */
bool faults_hit(faults_t *f, finance_kind kind, faults_knob knob, uint64_t order_no);
/* The same without the count of earlier rolls: what it says of an order it says again, as long as
 * seed and knob stay. Of a statement, which is not another one when it is asked for twice. */
bool faults_marks(faults_t *f, finance_kind kind, faults_knob knob, uint64_t order_no);

/* {"seed": 7, "reset": true, "transfer": {"refuse": 10}, "all": {"outage": 5}}: all or nothing.
 * ERR_INVALID_JSON or ERR_INVALID_FIELD with the reason in `why`. */
err_t faults_apply(faults_t *f, const char *json, size_t n, char why[128]) MUST_CHECK;
/* "transfer.settle_ms=50" or "all.outage=5". */
err_t faults_set(faults_t *f, const char *text, char why[128]) MUST_CHECK;
void faults_write(faults_t *f, jw_t *w);

#endif
