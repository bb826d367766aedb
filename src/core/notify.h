/*
 * Words to a service manager: sd_notify(3)'s datagrams over $NOTIFY_SOCKET, without libsystemd.
 *
 *     READY=1             served from now on (Type=notify)
 *     STOPPING=1          requests in flight are being finished
 *     WATCHDOG=1          still turning (WatchdogSec=)
 *     STATUS=…            one line for `systemctl status`
 *
 * Without the variable nothing happens: the service runs the same under any manager, or none.
 *
 * Threading: functions may be called from any thread; the environment must not change meanwhile.
 */
#ifndef FRT_CORE_NOTIFY_H
#define FRT_CORE_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/**
 * Send one message of NAME=VALUE lines. False: nobody listens, or the socket did not take it, which is never a
 * reason to stop serving. Never waits.
 */
bool frt_notify(const char *message);

/** Time between two WATCHDOG=1 that the manager asks this process for, $WATCHDOG_USEC halved; 0 = none asked.
 */
int64_t frt_notify_watchdog_ms(void);

#endif
