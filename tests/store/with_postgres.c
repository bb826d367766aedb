/*
 * with_postgres COMMAND [ARGUMENT]…: run a command while a PostgreSQL server of its own is there.
 * TEST_POSTGRES is the address of an empty database on it. Exit status: the command's; 77 without a server.
 * SIGUSR1: the server ends as if it had crashed, and starts again.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/postgres_server.h"

static volatile sig_atomic_t restart;

static void on_signal(int number)
{
    (void)number;
    restart = 1;
}

int main(int argc, char **argv)
{
    char address[POSTGRES_ADDRESS_MAX];
    const struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: waitpid hears of it */
    int status = 0;
    if (argc < 2)
        return 2;
    if (!postgres_server_start())
        return 77;
    postgres_server_database(address);
    (void)setenv("TEST_POSTGRES", address, 1);
    (void)sigaction(SIGUSR1, &action, NULL);
    const pid_t child = fork();
    if (child == 0) {
        (void)signal(SIGUSR1, SIG_DFL);
        (void)execvp(argv[1], argv + 1);
        _exit(127);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
        if (!restart)
            continue;
        restart = 0;
        postgres_server_crash();
        postgres_server_again();
    }
    postgres_server_remove();
    return child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
