#include "store/postgres_server.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct {
    char folder[300], bin[300];
    uid_t uid;
    gid_t gid;
    pid_t pid; /* 0 = it does not run */
    unsigned databases;
} server;

static void give_up(const char *what)
{
    (void)fprintf(stderr, "postgres_server: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* The newest of /usr/lib/postgresql/VERSION/bin, or where TEST_POSTGRES_BIN says. */
static bool find_programs(void)
{
    const char *said = getenv("TEST_POSTGRES_BIN");
    char path[400];
    long best = 0;
    if (said != NULL && said[0] != '\0') {
        (void)snprintf(server.bin, sizeof server.bin, "%s", said);
    } else {
        DIR *versions = opendir("/usr/lib/postgresql");
        for (struct dirent *e = versions == NULL ? NULL : readdir(versions); e != NULL; e = readdir(versions)) {
            const long version = strtol(e->d_name, NULL, 10);
            if (version > best) {
                best = version;
                (void)snprintf(server.bin, sizeof server.bin, "/usr/lib/postgresql/%ld/bin", version);
            }
        }
        if (versions != NULL)
            (void)closedir(versions);
    }
    (void)snprintf(path, sizeof path, "%s/initdb", server.bin);
    return server.bin[0] != '\0' && access(path, X_OK) == 0;
}

/* In a child: become whoever the server may be. */
static void become(void)
{
    if (server.uid != geteuid() && (setgid(server.gid) != 0 || setuid(server.uid) != 0))
        _exit(126);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* after the user: changing him clears it */
    if (chdir("/") != 0)
        _exit(126);
}

static void quiet(void)
{
    const int fd = open("/dev/null", O_RDWR);
    if (fd >= 0) {
        (void)dup2(fd, 0);
        (void)dup2(fd, 1);
        (void)dup2(fd, 2);
    }
}

static int run(const char *const *argv, int out)
{
    char path[400];
    int status = 0;
    (void)snprintf(path, sizeof path, "%s/%s", server.bin, argv[0]);
    const pid_t child = fork();
    if (child < 0)
        give_up("fork");
    if (child == 0) {
        become();
        if (out < 0)
            quiet();
        else
            (void)dup2(out, 1);
        (void)execv(path, (char *const *)(unsigned long)argv);
        _exit(127);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static bool is_up(void)
{
    const char *const argv[] = {"pg_isready", "-q", "-h", server.folder, NULL};
    return run(argv, -1) == 0;
}

void postgres_server_again(void)
{
    char data[320], path[400], socket_option[340];
    const struct timespec pause = {0, 20000000};
    (void)snprintf(data, sizeof data, "%s/data", server.folder);
    (void)snprintf(path, sizeof path, "%s/postgres", server.bin);
    (void)snprintf(socket_option, sizeof socket_option, "unix_socket_directories=%s", server.folder);
    const char *const argv[] = {"postgres",
                                "-D",
                                data,
                                "-c",
                                "listen_addresses=",
                                "-c",
                                socket_option,
                                "-c",
                                "fsync=off",
                                "-c",
                                "full_page_writes=off",
                                "-c",
                                "shared_buffers=32MB",
                                "-c",
                                "max_connections=60",
                                "-c",
                                "logging_collector=off",
                                NULL};
    server.pid = fork();
    if (server.pid < 0)
        give_up("fork");
    if (server.pid == 0) {
        become();
        quiet();
        (void)execv(path, (char *const *)(unsigned long)argv);
        _exit(127);
    }
    for (int i = 0; i < 1500 && !is_up(); i++) {
        if (waitpid(server.pid, NULL, WNOHANG) == server.pid)
            give_up("the server ended at once");
        (void)nanosleep(&pause, NULL);
    }
    if (!is_up())
        give_up("the server does not come up");
}

bool postgres_server_start(void)
{
    char data[320];
    const char *base = getenv("TMPDIR");
    const struct passwd *user = getpwnam("postgres");
    if (!find_programs()) {
        (void)printf("SKIP: no PostgreSQL server in /usr/lib/postgresql (Debian: postgresql)\n");
        return false;
    }
    server.uid = geteuid();
    server.gid = getegid();
    if (server.uid == 0) { /* it refuses root */
        user = user != NULL ? user : getpwnam("nobody");
        if (user == NULL) {
            (void)printf("SKIP: no user for a PostgreSQL server\n");
            return false;
        }
        server.uid = user->pw_uid;
        server.gid = user->pw_gid;
    }
    (void)snprintf(server.folder, sizeof server.folder, "%s/frt-test-pg-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(server.folder) == NULL || chmod(server.folder, 0711) != 0 ||
        chown(server.folder, server.uid, server.gid) != 0)
        give_up(server.folder);
    (void)snprintf(data, sizeof data, "%s/data", server.folder);
    const char *const argv[] = {"initdb",
                                "-D",
                                data,
                                "-U",
                                "frt",
                                "-A",
                                "trust",
                                "--no-sync",
                                "-E",
                                "UTF8",
                                "--locale=C.UTF-8",
                                "--no-instructions",
                                NULL};
    if (run(argv, -1) != 0)
        give_up("initdb failed");
    postgres_server_again();
    return true;
}

static void stop(int how)
{
    if (server.pid > 0) {
        (void)kill(server.pid, how);
        while (waitpid(server.pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    server.pid = 0;
}

void postgres_server_crash(void)
{
    stop(SIGQUIT);
}

void postgres_server_remove(void)
{
    char command[400];
    stop(SIGQUIT);
    if (server.folder[0] == '\0')
        return;
    (void)snprintf(command, sizeof command, "rm -rf '%s'", server.folder);
    if (system(command) != 0)
        (void)fprintf(stderr, "postgres_server: %s stays\n", server.folder);
}

void postgres_server_database(char address[POSTGRES_ADDRESS_MAX])
{
    char name[32];
    (void)snprintf(name, sizeof name, "t%u", ++server.databases);
    const char *const argv[] = {"createdb", "-h", server.folder, "-U", "frt", name, NULL};
    if (run(argv, -1) != 0)
        give_up("createdb failed");
    (void)snprintf(address, POSTGRES_ADDRESS_MAX, "postgresql:host=%s dbname=%s user=frt", server.folder, name);
}

void postgres_server_sql(const char *address, const char *sql, char *out, unsigned size)
{
    const char *const argv[] = {
        "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", address + strlen("postgresql:"),
        "-c",   sql,  NULL};
    int fds[2];
    ssize_t n = 0, total = 0;
    if (pipe(fds) != 0)
        give_up("pipe");
    const int code = run(argv, fds[1]);
    (void)close(fds[1]);
    while (out != NULL && total + 1 < (ssize_t)size &&
           (n = read(fds[0], out + total, size - 1 - (size_t)total)) > 0)
        total += n;
    (void)close(fds[0]);
    if (out != NULL) {
        out[total] = '\0';
        out[strcspn(out, "\n")] = '\0';
    }
    if (code != 0) {
        (void)fprintf(stderr, "postgres_server: psql failed: %s\n", sql);
        exit(1);
    }
}
