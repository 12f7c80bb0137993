/* A fault campaign is worth something only if a failing seed fails again; a shared random stream
 * would depend on which thread draws first. So each decision hashes what it is about, and a count
 * of earlier decisions about the same, because an order whose answer is lost must not lose it for
 * ever. */
#include "sim/faults.h"

#include "base/keys.h"
#include "base/parse.h"
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

enum { KINDS = FINANCE_WITHDRAWAL + 1, ASKED_MAX = 1000000 };

static const struct {
	const char *name;
	int64_t first[KINDS], most;
} ROWS[] = {
#define KNOB(id, name, pay, transfer, refund, withdraw, most, help)                                \
	[FAULTS_##id] = {name, {0, pay, transfer, refund, withdraw}, most},
#include "sim/knobs.def"
#undef KNOB
};

typedef struct {
	uint64_t order_no, knob;
} asked_key;
typedef struct {
	asked_key key;
	uint64_t times;
	UT_hash_handle hh;
} asked_t;

struct faults {
	pthread_mutex_t lock;
	uint64_t seed;
	int64_t value[KINDS][FAULTS_KNOBS];
	asked_t *asked;
};

static void reset_values(int64_t value[KINDS][FAULTS_KNOBS])
{
	for (unsigned k = 0; k < KINDS; k++)
		for (unsigned i = 0; i < FAULTS_KNOBS; i++)
			value[k][i] = ROWS[i].first[k];
}

static void forget_asked(faults_t *f)
{
	for (asked_t *a; (a = f->asked);) {
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the head moves on before the free */
		HASH_DEL(f->asked, a);
		free(a);
	}
}

faults_t *faults_new(uint64_t seed)
{
	faults_t *f = calloc(1, sizeof *f);
	BUG_ON(!f);
	pthread_mutex_init(&f->lock, NULL);
	f->seed = seed;
	reset_values(f->value);
	return f;
}

void faults_free(faults_t **f)
{
	if (!*f)
		return;
	forget_asked(*f);
	pthread_mutex_destroy(&(*f)->lock);
	free(*f);
	*f = NULL;
}

int64_t faults_get(faults_t *f, finance_kind kind, faults_knob knob)
{
	pthread_mutex_lock(&f->lock);
	int64_t v = f->value[kind][knob];
	pthread_mutex_unlock(&f->lock);
	return v;
}

static uint64_t count_asked(faults_t *f, faults_knob knob, uint64_t order_no)
{
	asked_key key = {order_no, knob};
	asked_t *a;
	/* All bytes are set. NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
	HASH_FIND(hh, f->asked, &key, sizeof key, a);
	if (!a) {
		if (HASH_COUNT(f->asked) >= ASKED_MAX)
			forget_asked(f);
		a = calloc(1, sizeof *a);
		BUG_ON(!a);
		a->key = key;
		HASH_ADD(hh, f->asked, key, sizeof a->key, a);
	}
	return a->times++;
}

static bool roll(faults_t *f, finance_kind kind, faults_knob knob, uint64_t order_no, bool counted)
{
	pthread_mutex_lock(&f->lock);
	int64_t percent = f->value[kind][knob];
	bool hit = percent >= 100;
	if (percent > 0 && percent < 100) {
		uint64_t times = counted ? count_asked(f, knob, order_no) : 0, dice;
		uint64_t about[] = {f->seed, knob, order_no, times};
		uint8_t hash[32];
		keys_sha256(about, sizeof about, hash);
		memcpy(&dice, hash, sizeof dice);
		hit = dice % 100 < (uint64_t)percent;
	}
	pthread_mutex_unlock(&f->lock);
	return hit;
}

bool faults_hit(faults_t *f, finance_kind kind, faults_knob knob, uint64_t order_no)
{
	return roll(f, kind, knob, order_no, true);
}

bool faults_marks(faults_t *f, finance_kind kind, faults_knob knob, uint64_t order_no)
{
	return roll(f, kind, knob, order_no, false);
}

static err_t put(int64_t value[KINDS][FAULTS_KNOBS], const char *kind, const char *knob, int64_t v,
	char why[128])
{
	unsigned k = finance_kind_named(kind), i = 0;
	bool all = strcmp(kind, "all") == 0;
	while (i < FAULTS_KNOBS && strcmp(ROWS[i].name, knob) != 0)
		i++;
	if ((!k && !all) || i == FAULTS_KNOBS || v < 0 || v > ROWS[i].most) {
		snprintf(why, 128, "%.30s.%.30s: unknown, or out of range", kind, knob);
		return ERR_INVALID_FIELD;
	}
	for (unsigned to = all ? 1 : k; to <= (all ? KINDS - 1 : k); to++)
		value[to][i] = v;
	return ERR_OK;
}

static err_t put_kind(
	int64_t value[KINDS][FAULTS_KNOBS], const char *kind, json_t *knobs, char why[128])
{
	const char *knob;
	json_t *v;
	json_object_foreach (knobs, knob, v) {
		err_t err = put(value, kind, knob,
			json_is_integer(v) ? (int64_t)json_integer_value(v) : -1, why);
		if (err != ERR_OK)
			return err;
	}
	return ERR_OK;
}

err_t faults_apply(faults_t *f, const char *json, size_t n, char why[128])
{
	int64_t value[KINDS][FAULTS_KNOBS];
	err_t err = ERR_OK;
	const char *name;
	json_t *v, *o = json_loadb(json, n, JSON_REJECT_DUPLICATES, NULL);
	snprintf(why, 128, "not an object");
	if (!json_is_object(o)) {
		json_decref(o);
		return ERR_INVALID_JSON;
	}
	pthread_mutex_lock(&f->lock);
	uint64_t seed = f->seed;
	memcpy(value, f->value, sizeof value);
	if (json_is_true(json_object_get(o, "reset")))
		reset_values(value);
	json_object_foreach (o, name, v) {
		if (strcmp(name, "seed") == 0 && json_is_integer(v) && json_integer_value(v) >= 0)
			seed = (uint64_t)json_integer_value(v);
		else if (json_is_object(v))
			err = put_kind(value, name, v, why);
		else if (strcmp(name, "reset") != 0 || !json_is_boolean(v))
			err = put(value, name, "", -1, why);
		if (err != ERR_OK)
			break;
	}
	if (err == ERR_OK) {
		f->seed = seed;
		memcpy(f->value, value, sizeof value);
		forget_asked(f);
	}
	pthread_mutex_unlock(&f->lock);
	json_decref(o);
	return err;
}

err_t faults_set(faults_t *f, const char *text, char why[128])
{
	char kind[32], knob[32], number[16];
	uint64_t v;
	if (sscanf(text, "%31[a-z].%31[a-z_]=%15[0-9]", kind, knob, number) != 3 ||
		!parse_u64(number, INT64_MAX, &v)) {
		snprintf(why, 128, "\"%.60s\" is not KIND.NAME=NUMBER", text);
		return ERR_INVALID_FIELD;
	}
	pthread_mutex_lock(&f->lock);
	err_t err = put(f->value, kind, knob, (int64_t)v, why);
	pthread_mutex_unlock(&f->lock);
	return err;
}

void faults_write(faults_t *f, jw_t *w)
{
	pthread_mutex_lock(&f->lock);
	jw_obj(w, NULL);
	jw_i64(w, "seed", (int64_t)f->seed);
	for (unsigned k = FINANCE_PAYMENT; k < KINDS; k++) {
		jw_obj(w, finance_kind_name((finance_kind)k));
		for (unsigned i = 0; i < FAULTS_KNOBS; i++)
			jw_i64(w, ROWS[i].name, f->value[k][i]);
		jw_obj_end(w);
	}
	jw_obj_end(w);
	pthread_mutex_unlock(&f->lock);
}
