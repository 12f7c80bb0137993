/* files: a folder of a test's own and the files that it needs in it. */
#ifndef HB_TESTS_UNIT_FILES_H
#define HB_TESTS_UNIT_FILES_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A new folder; the caller removes it with files_remove_dir and frees nothing. */
static inline const char *files_dir(void)
{
	static char dir[64];

	snprintf(dir, sizeof(dir), "/tmp/hb-unit-XXXXXX");
	if (!mkdtemp(dir))
		abort();
	return dir;
}

static inline const char *files_path(const char *dir, const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* Writes the file and returns its path (static, until the next call). */
static inline const char *files_write(
	const char *dir, const char *name, mode_t mode, const char *text)
{
	const char *path = files_path(dir, name);
	size_t n = strlen(text);
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0 || write(fd, text, n) != (ssize_t)n || fchmod(fd, mode) || close(fd))
		abort();
	return path;
}

static inline void files_remove_dir(const char *dir)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	if (system(command))
		abort();
}

#endif
