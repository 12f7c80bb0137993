/* args: a verb's options as rows; `--name VALUE` or `--name`. What is left are its words. */
#ifndef HB_UNITS_ARGS_H
#define HB_UNITS_ARGS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
	const char *name;
	const char **text; /* takes a value; NULL: it does not, and sets `flag` */
	bool *flag;
} args_row;

/* argv[0] is the verb. Moves the words to argv[1…] and returns how many; -1: something is wrong. */
int args_take(int argc, char **argv, const args_row *rows, unsigned n);

/* "90s", "30m", "2h", "1d"; at most 36500 of a unit. */
bool args_duration(const char *text, int64_t *ms);

/* Whether `word` is one of the words of a list like "east,west"; NULL is an empty list. */
bool args_listed(const char *list, const char *word);

#endif
