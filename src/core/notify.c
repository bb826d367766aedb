#include "core/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* "/path" or "@abstract" → an address; 0 when it is neither or too long. */
static socklen_t address(const char *name, struct sockaddr_un *out)
{
    const size_t size = strlen(name);
    if (size < 2 || size >= sizeof out->sun_path || (name[0] != '/' && name[0] != '@'))
        return 0;
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(out->sun_path, name, size);
    if (name[0] == '@')
        out->sun_path[0] = '\0';
    /* an abstract name has no terminator: its length says where it ends */
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + (name[0] == '/'));
}

bool frt_notify(const char *message)
{
    struct sockaddr_un to;
    const char *name = getenv("NOTIFY_SOCKET");
    const socklen_t to_size = name != NULL ? address(name, &to) : 0;
    if (to_size == 0)
        return false;
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    const size_t size = strlen(message);
    const ssize_t sent = sendto(fd, message, size, MSG_NOSIGNAL, (const struct sockaddr *)&to, to_size);
    (void)close(fd);
    return sent == (ssize_t)size;
}

int64_t frt_notify_watchdog_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    if (usec == NULL || (pid != NULL && strtoll(pid, NULL, 10) != (long long)getpid()))
        return 0;
    const long long value = strtoll(usec, NULL, 10);
    return value > 0 ? value / 2000 : 0;
}
