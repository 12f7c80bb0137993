/* A fault of each kind on demand: `./dev sanitize` runs it first, since silence proves nothing
 * before each sanitizer has been heard. Usage: canary overflow|leak|undefined|race */
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static int shared;

static void *touch(void *ctx)
{
	shared++;
	return ctx;
}

static void race(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, touch, NULL) == 0) {
		shared++;
		pthread_join(thread, NULL);
	}
}

static void lose(void)
{
	char *volatile lost = malloc(100);

	lost = NULL;
	(void)lost;
}

int main(int argc, char **argv)
{
	const char *fault = argc == 2 ? argv[1] : "";
	volatile int one = 1, most = INT_MAX;
	char *block = malloc(8);

	if (!block)
		return 1;
	if (strcmp(fault, "overflow") == 0)
		((volatile char *)block)[7 + one] = 1;
	else if (strcmp(fault, "undefined") == 0)
		most = most + one;
	else if (strcmp(fault, "leak") == 0)
		lose();
	else if (strcmp(fault, "race") == 0)
		race();
	free(block);
	return 0;
}
