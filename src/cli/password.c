#include "cli/password.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli/output.h"

enum { LOOK_MS = 200 };

/* A byte, or what read says. An interrupt that comes just before the read is seen within LOOK_MS. */
static ssize_t read_byte(char *c)
{
    struct pollfd ready = {.fd = STDIN_FILENO, .events = POLLIN};
    int n = 0;
    while (n == 0 && !cli_interrupted(NULL))
        n = poll(&ready, 1, LOOK_MS);
    return n < 0 ? n : cli_interrupted(NULL) ? 0 : read(STDIN_FILENO, c, 1);
}

/* One line, without its end, a byte at a time: what follows it belongs to who reads next. */
static enum frt_status read_line(char out[CLI_PASSWORD_SIZE], struct frt_error *err)
{
    size_t size = 0;
    bool too_long = false;
    for (;;) {
        char c;
        ssize_t n = read_byte(&c);
        if (cli_interrupted(NULL))
            return frt_fail(err, FRT_ECANCELLED, "interrupted");
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return frt_fail(err, FRT_EIO, "standard input: %s", strerror(errno));
        if (n == 0 || c == '\n')
            break;
        if (c == '\0')
            return frt_fail(err, FRT_EINVAL, "the password holds a NUL byte");
        too_long = size == CLI_PASSWORD_SIZE - 1;
        if (too_long)
            break;
        out[size++] = c;
    }
    if (too_long)
        return frt_fail(err, FRT_EINVAL, "the password is longer than %d bytes", FRT_PASSWORD_MAX_BYTES);
    if (size > 0 && out[size - 1] == '\r')
        size--;
    out[size] = '\0';
    return size > 0 ? FRT_OK : frt_fail(err, FRT_EINVAL, "the password is empty");
}

static void say(const char *text)
{
    (void)!write(STDERR_FILENO, text, strlen(text));
}

static enum frt_status ask(const char *prompt, char out[CLI_PASSWORD_SIZE], struct frt_error *err)
{
    say(prompt);
    enum frt_status status = read_line(out, err);
    say("\n"); /* the one that was typed was not shown */
    return status;
}

static enum frt_status ask_twice(const char *whose, char out[CLI_PASSWORD_SIZE], struct frt_error *err)
{
    char again[CLI_PASSWORD_SIZE], prompt[320];
    struct termios before, silent;
    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return frt_fail(err, FRT_EIO, "the terminal: %s", strerror(errno));
    silent = before;
    silent.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
    silent.c_lflag |= ICANON;
    /* without the guard a password would show */
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent) != 0)
        return frt_fail(err, FRT_EIO, "the terminal: %s", strerror(errno));
    (void)snprintf(prompt, sizeof prompt, "New password for %.256s: ", whose);
    enum frt_status status = ask(prompt, out, err);
    if (status == FRT_OK)
        status = ask("The same again: ", again, err);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    if (status == FRT_OK && strcmp(out, again) != 0)
        status = frt_fail(err, FRT_EINVAL, "the two passwords differ");
    frt_wipe(again, sizeof again);
    return status;
}

enum frt_status cli_password_read(const char *whose, char out[CLI_PASSWORD_SIZE], struct frt_error *err)
{
    cli_catch_interrupts();
    enum frt_status status = isatty(STDIN_FILENO) == 1 ? ask_twice(whose, out, err) : read_line(out, err);
    if (status != FRT_OK)
        frt_wipe(out, CLI_PASSWORD_SIZE);
    return status;
}
