/* rings: the key rings that programs have, and that they follow their files. */
#ifndef HB_DOMAIN_RINGS_H
#define HB_DOMAIN_RINGS_H

#include "base/conf.h"
#include "base/keys.h"

typedef enum {
#define RING(id, name, keep, others, before) RINGS_##id,
#include "domain/rings.def"
#undef RING
	RINGS_COUNT
} rings_id;

typedef struct {
	const char *name;   /* "session"; or, for many, what their names begin with: "partner." */
	conf_id keep;       /* seconds for which an old key stays good; CONF_COUNT: for ever */
	const char *others; /* "": only our programs */
	bool before;        /* we sign what they verify */
} rings_row;

extern const rings_row rings_table[RINGS_COUNT];

/* The row of a ring by its name, "session" or "partner.demo"; NULL when there is no such. */
const rings_row *rings_named(const char *name);
/* The id of a key that is made at that second: another for every key that anybody makes. */
void rings_key_id(int64_t made_s, char out[KEYS_ID_BYTES]);
/* When the key of that id was made; 0: nobody knows, its id is of another kind. */
int64_t rings_key_made_s(const char *id);
/* What of its files this process has taken in, as keys_version. */
int64_t rings_version(rings_id id);
/* Takes in what has changed and shows it in the metrics; one thread's. */
void rings_look(void);

#endif
