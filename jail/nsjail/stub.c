/*
 * stub: PID 1 of a jail. Says that the jail is open, waits for one program, runs it as PID 2, kills what it left
 * behind, reports how it ended.
 *
 * It runs inside the jail, as the jail's user, under its limits and its system call filter, and holds nothing
 * secret. Descriptor 3 is its half of a socket pair with the worker (control.ts is the other half):
 *   to the worker    struct report: 'R' ready, 'X' exec failed (value: errno), 'E' ended (value: wait status)
 *   from the worker  struct order, then `size` bytes: argc strings, then envc strings, each ended by NUL
 * When the worker closes its half, or dies, the stub exits and the kernel kills everything in the jail.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CONTROL = 3, MAX_STRINGS = 65536 };

struct order { uint32_t size, argc, envc; };
struct report { uint32_t type; int32_t value; };

static void report(char type, int value)
{
	struct report message = { (uint32_t)type, value };
	if (write(CONTROL, &message, sizeof message) != sizeof message)
		_exit(1);
}

static void read_fully(void *into, size_t size)
{
	for (char *at = into; size > 0;) {
		ssize_t got = read(CONTROL, at, size);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			_exit(0);
		at += got;
		size -= (size_t)got;
	}
}

/* The next `count` strings at `*at`, as execve wants them */
static char **strings(char **at, const char *end, uint32_t count)
{
	char **list = calloc((size_t)count + 1, sizeof *list);
	if (!list)
		_exit(1);
	for (uint32_t i = 0; i < count && *at < end; i++) {
		list[i] = *at;
		*at += strlen(*at) + 1;
	}
	return list;
}

static void on_child(int signal) { (void)signal; }

int main(void)
{
	/* same user as the program: without this the program could write to /proc/1/mem */
	prctl(PR_SET_DUMPABLE, 0);
	fcntl(CONTROL, F_SETFD, FD_CLOEXEC);

	sigset_t child_signal, none;
	sigemptyset(&none);
	sigemptyset(&child_signal);
	sigaddset(&child_signal, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child_signal, NULL);
	struct sigaction action = { .sa_handler = on_child };
	sigaction(SIGCHLD, &action, NULL);

	report('R', 0);
	struct order order;
	read_fully(&order, sizeof order);
	if (order.argc < 1 || order.argc > MAX_STRINGS || order.envc > MAX_STRINGS)
		_exit(1);
	char *text = malloc((size_t)order.size + 1);
	if (!text)
		_exit(1);
	read_fully(text, order.size);
	text[order.size] = 0;
	char *at = text;
	char **arguments = strings(&at, text + order.size, order.argc);
	char **environment = strings(&at, text + order.size, order.envc);

	/* tells the parent why exec failed; closed by a successful exec */
	int failure[2];
	if (pipe2(failure, O_CLOEXEC) < 0)
		_exit(1);
	pid_t program = fork();
	if (program < 0) {
		report('X', errno);
		_exit(1);
	}
	if (program == 0) {
		/* a group of its own, so that kill(0) does not mean the stub */
		setsid();
		sigprocmask(SIG_SETMASK, &none, NULL);
		signal(SIGCHLD, SIG_DFL);
		execve(arguments[0], arguments, environment);
		int why = errno;
		_exit(write(failure[1], &why, sizeof why) == sizeof why ? 127 : 126);
	}
	close(failure[1]);
	/* the program's end of these must be the only ones, or closing its output would not be seen */
	close(0);
	close(1);
	close(2);
	int why;
	if (read(failure[0], &why, sizeof why) == sizeof why) {
		report('X', why);
		_exit(0);
	}
	close(failure[0]);

	int status = 0;
	for (bool running = true;;) {
		pid_t ended;
		int ended_status;
		while ((ended = waitpid(-1, &ended_status, WNOHANG)) > 0)
			if (ended == program) {
				status = ended_status;
				running = false;
			}
		if (!running)
			break;
		struct pollfd control = { .fd = CONTROL, .events = POLLIN };
		char ignored[64];
		if (ppoll(&control, 1, NULL, &none) > 0 && read(CONTROL, ignored, sizeof ignored) <= 0)
			_exit(0);
	}
	/* again and again: a child may be forked while the signal goes round */
	do
		kill(-1, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR);
	report('E', status);
	return 0;
}
