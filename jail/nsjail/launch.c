/*
 * launch CGROUP_PROCS_FILE... -- PROGRAM ARGUMENT...
 *
 * Joins cgroups, then becomes the program, so that nothing of a jail ever runs outside its limits. The program
 * dies with the process that started it (PR_SET_PDEATHSIG), and does not hear the signals of that one's terminal.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static int fail(const char *what)
{
	perror(what);
	return 125;
}

int main(int count, char **arguments)
{
	pid_t parent = getppid();
	int at = 1;
	for (; at < count && strcmp(arguments[at], "--") != 0; at++) {
		int file = open(arguments[at], O_WRONLY | O_CLOEXEC);
		/* 0 means the writer itself: cgroups(7) */
		if (file < 0 || write(file, "0", 1) != 1)
			return fail(arguments[at]);
		close(file);
	}
	if (at + 1 >= count) {
		fprintf(stderr, "usage: launch CGROUP_PROCS_FILE... -- PROGRAM ARGUMENT...\n");
		return 125;
	}
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return fail("prctl");
	/* it may have died before that */
	if (getppid() != parent)
		return 125;
	/* a Ctrl-C that tells the worker to stop lets the programs that run finish */
	setsid();
	execv(arguments[at + 1], arguments + at + 1);
	return fail(arguments[at + 1]);
}
