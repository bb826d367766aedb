/* Which cores a process may use, from files as containers and plain machines have them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/cores.h"

static char root[64];

/* A file below `root`, its folders made. */
static void put(const char *path, const char *text)
{
    char full[1024];
    (void)snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int fresh(void **state)
{
    (void)state;
    (void)snprintf(root, sizeof root, "/tmp/frt-test-cores-XXXXXX");
    return mkdtemp(root) == NULL;
}

static int clean(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static struct frt_cores found(void)
{
    struct frt_cores cores;
    frt_cores_find(root, &cores);
    assert_true(cores.mask >= 1 && cores.usable >= 1 && cores.usable <= cores.mask);
    return cores;
}

static void assert_quota(double quota)
{
    struct frt_cores cores = found();
    assert_true(cores.quota > quota - 1e-9 && cores.quota < quota + 1e-9);
}

#define MOUNT_V2 "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define MOUNT_V1 "33 25 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"

static void a_machine_without_groups_gives_all_its_cores(void **state)
{
    (void)state;
    char text[128];
    struct frt_cores cores = found();
    assert_true(cores.quota <= 0);
    assert_int_equal(cores.usable, cores.mask);
    assert_non_null(strstr(frt_cores_text(&cores, text, sizeof text),
                           cores.mask == cores.online ? "all of the machine's" : "affinity mask"));
}

static void a_container_sees_its_own_group_at_the_top(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/\n");
    put("/proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" MOUNT_V2);
    put("/sys/fs/cgroup/cpu.max", "50000 100000\n");
    assert_quota(0.5);
    assert_int_equal(found().usable, 1);
    put("/sys/fs/cgroup/cpu.max", "max 100000\n");
    assert_quota(0);
}

static void the_least_quota_of_nested_groups_counts(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/system.slice/frt.service\n");
    put("/proc/self/mountinfo", MOUNT_V2);
    put("/sys/fs/cgroup/system.slice/frt.service/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/system.slice/cpu.max", "140000 100000\n");
    assert_quota(1.4);
    assert_int_equal(found().usable, 1);
    put("/sys/fs/cgroup/system.slice/frt.service/cpu.max", "60000 50000\n");
    assert_quota(1.2);
    put("/sys/fs/cgroup/cpu.max", "7000 10000\n");
    assert_quota(0.7);
}

static void a_group_that_is_not_seen_falls_back_to_the_mount(void **state)
{
    (void)state;
    /* no namespace of groups: the path is the host's, the mount shows the container's own group as its top */
    put("/proc/self/cgroup", "0::/docker/0123/inner\n");
    put("/proc/self/mountinfo", "30 23 0:26 /docker/0123 /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
    put("/sys/fs/cgroup/inner/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/cpu.max", "80000 100000\n");
    assert_quota(0.8);
    /* a path of another container, a path above the namespace, a folder that is not there */
    put("/proc/self/cgroup", "0::/docker/01234\n");
    assert_quota(0.8);
    put("/proc/self/cgroup", "0::/../elsewhere\n");
    put("/proc/self/mountinfo", MOUNT_V2);
    assert_quota(0.8);
    put("/proc/self/cgroup", "0::/gone/deeper\n");
    assert_quota(0.8);
}

static void version_1_is_read_too(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "12:memory:/m\n4:cpu,cpuacct:/box/one\n3:cpuset:/\n0::/\n");
    put("/proc/self/mountinfo", "31 25 0:27 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n" MOUNT_V1);
    put("/sys/fs/cgroup/cpu,cpuacct/box/one/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu,cpuacct/box/one/cpu.cfs_period_us", "100000\n");
    assert_quota(0);
    put("/sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", "90000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us", "100000\n");
    assert_quota(0.9);
    assert_int_equal(found().usable, 1);
}

static void odd_files_limit_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "\n", "max", "-5 100000\n", "100000 0\n", "1e3 x\n", "0 0\n"};
    put("/proc/self/cgroup", "\n::\n0::\nnonsense\n0::/\n");
    put("/proc/self/mountinfo", "- - -\n\n a - cgroup2\n" MOUNT_V2);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put("/sys/fs/cgroup/cpu.max", texts[i]);
        assert_quota(0);
    }
}

static void a_fraction_goes_to_the_nearest(void **state)
{
    (void)state;
    char text[128];
    put("/proc/self/cgroup", "0::/\n");
    put("/proc/self/mountinfo", MOUNT_V2);
    put("/sys/fs/cgroup/cpu.max", "149000 100000\n");
    assert_int_equal(found().usable, 1);
    put("/sys/fs/cgroup/cpu.max", "10000 100000\n");
    assert_int_equal(found().usable, 1);
    put("/sys/fs/cgroup/cpu.max", "99999900000 100000\n");
    assert_int_equal(found().usable, found().mask);
    put("/sys/fs/cgroup/cpu.max", "150000 100000\n");
    struct frt_cores cores = found();
    if (cores.mask < 2)
        skip();
    assert_int_equal(cores.usable, 2);
    assert_string_equal(frt_cores_text(&cores, text, sizeof text), "2: a CPU quota of 1.5 (control group)");
}

static void cores_are_those_this_process_may_use(void **state)
{
    (void)state;
    cpu_set_t before, one;
    char text[128];
    uint32_t all = frt_usable_cores();
    CPU_ZERO(&before);
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    assert_true(all >= 1);
    assert_true(all <= (uint32_t)CPU_COUNT(&before));
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &before))
            CPU_SET(i, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(frt_usable_cores(), 1);
    struct frt_cores cores = found();
    if (cores.online > 1)
        assert_non_null(strstr(frt_cores_text(&cores, text, sizeof text), "1: affinity mask, of "));
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_machine_without_groups_gives_all_its_cores, fresh, clean),
        cmocka_unit_test_setup_teardown(a_container_sees_its_own_group_at_the_top, fresh, clean),
        cmocka_unit_test_setup_teardown(the_least_quota_of_nested_groups_counts, fresh, clean),
        cmocka_unit_test_setup_teardown(a_group_that_is_not_seen_falls_back_to_the_mount, fresh, clean),
        cmocka_unit_test_setup_teardown(version_1_is_read_too, fresh, clean),
        cmocka_unit_test_setup_teardown(odd_files_limit_nothing, fresh, clean),
        cmocka_unit_test_setup_teardown(a_fraction_goes_to_the_nearest, fresh, clean),
        cmocka_unit_test_setup_teardown(cores_are_those_this_process_may_use, fresh, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
