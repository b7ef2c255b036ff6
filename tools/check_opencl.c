/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hetero check, the part about OpenCL: is there a loader, a folder of drivers, does each driver
 * open, answer, have devices; may this user open the device nodes; is a vendor's library here that
 * nobody tells the loader of.
 *
 * A driver is a library named by an .icd file. Each is opened in a child process of its own, with a
 * time limit, through the entry points of cl_khr_icd: the first pointer of a platform is a
 * table of OpenCL's functions in the order of the standard. So one that crashes or hangs is
 * told by name, and no OpenCL headers are needed here.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "core/clock.h"

#define DEFAULT_FOLDER "/etc/OpenCL/vendors"
#define DRIVERS_MAX 32
#define DEVICES_MAX 16
#define DEFAULT_SECONDS 15

/* What a child found of one driver; plain data for a pipe. */
struct answer {
    enum { OPENS_NOT, NO_ENTRY, NO_PLATFORM, NO_DEVICE, HAS_DEVICES } state;
    char platform[96];
    char text[256]; /* why not */
    uint32_t device_count;
    char devices[DEVICES_MAX][96]; /* name, version of the driver */
};

struct driver {
    char file[PATH_MAX]; /* the .icd file, or the library itself where one is named */
    char library[PATH_MAX];
    struct answer answer;
};

/* HETEROENGINE_CHECK_ROOT: look there instead of at /; for tests. */
static const char *at_root(const char *path, char out[PATH_MAX])
{
    const char *root = getenv("HETEROENGINE_CHECK_ROOT");

    snprintf(out, PATH_MAX, "%s%s", root ? root : "", path);
    return out;
}

static bool exists(const char *path)
{
    char full[PATH_MAX];

    return access(at_root(path, full), F_OK) == 0;
}

/* --- In the child --- */

typedef int32_t (*platform_ids_fn)(uint32_t room, void **platforms, uint32_t *count);
typedef int32_t (*info_fn)(void *object, uint32_t what, size_t room, void *out, size_t *needed);
typedef int32_t (*device_ids_fn)(void *platform, uint64_t type, uint32_t room, void **devices,
                                 uint32_t *count);

#define CL_PLATFORM_NAME_ 0x0902
#define CL_DEVICE_NAME_ 0x102B
#define CL_DRIVER_VERSION_ 0x102D
#define CL_DEVICE_TYPE_ALL_ 0xFFFFFFFFu
#define CL_DEVICE_TYPE_CUSTOM_ 16u

/* A pointer to data as one to a function, which C has no cast for. */
static void *copy_function(void *to, const void *from)
{
    return memcpy(to, &from, sizeof from);
}

static void ask_devices(void *platform, struct answer *out)
{
    void *const *table = *(void *const *const *)platform, *devices[DEVICES_MAX];
    info_fn platform_info, device_info;
    device_ids_fn device_ids;
    uint32_t count = 0, custom = 0;

    copy_function(&platform_info, table[1]);
    copy_function(&device_ids, table[2]);
    copy_function(&device_info, table[3]);
    platform_info(platform, CL_PLATFORM_NAME_, sizeof out->platform - 1, out->platform, NULL);
    if (device_ids(platform, CL_DEVICE_TYPE_ALL_, DEVICES_MAX, devices, &count) != 0)
        count = 0;
    if (count == 0 &&
        device_ids(platform, CL_DEVICE_TYPE_CUSTOM_, DEVICES_MAX, devices, &custom) == 0)
        count = custom;
    for (uint32_t d = 0; d < count && d < DEVICES_MAX && out->device_count < DEVICES_MAX; d++) {
        char name[64] = "?", version[28] = "";

        device_info(devices[d], CL_DEVICE_NAME_, sizeof name, name, NULL);
        device_info(devices[d], CL_DRIVER_VERSION_, sizeof version, version, NULL);
        snprintf(out->devices[out->device_count++], sizeof out->devices[0], "%.63s %.27s", name,
                 version);
    }
}

static void ask_driver(const char *library_name, struct answer *out)
{
    void *library = dlopen(library_name, RTLD_NOW | RTLD_LOCAL), *symbol, *platforms[8];
    platform_ids_fn platform_ids = NULL;
    void *(*address_of)(const char *) = NULL;
    uint32_t count = 0;
    int32_t error;

    if (!library) {
        snprintf(out->text, sizeof out->text, "%s", dlerror());
        return;
    }
    out->state = NO_ENTRY;
    symbol = dlsym(library, "clGetExtensionFunctionAddress");
    if (symbol) {
        copy_function(&address_of, symbol);
        symbol = address_of("clIcdGetPlatformIDsKHR");
    }
    if (!symbol)
        symbol = dlsym(library, "clIcdGetPlatformIDsKHR");
    if (!symbol)
        return;
    copy_function(&platform_ids, symbol);
    out->state = NO_PLATFORM;
    error = platform_ids(8, platforms, &count);
    if (error != 0 || count == 0) {
        snprintf(out->text, sizeof out->text, "clIcdGetPlatformIDsKHR: error %d, %u platforms",
                 (int)error, count);
        return;
    }
    for (uint32_t p = 0; p < count && p < 8; p++)
        ask_devices(platforms[p], out);
    out->state = out->device_count ? HAS_DEVICES : NO_DEVICE;
}

static unsigned limit_seconds(void)
{
    const char *told = getenv("HETEROENGINE_OPENCL_PROBE_SECONDS");
    unsigned long seconds = told ? strtoul(told, NULL, 10) : 0;

    return seconds > 0 && seconds < 3600 ? (unsigned)seconds : DEFAULT_SECONDS;
}

/* 0: @out is filled. Else the signal that ended the child, or -1: no answer in time, -2: it
 * went without one. */
static int ask_in_child(const char *library, struct answer *out)
{
    uint64_t end_ns = he_now_ns() + limit_seconds() * 1000000000ull;
    int ends[2], status = 0;
    bool is_late = false;
    size_t got = 0;
    pid_t child;

    *out = (struct answer){ .state = OPENS_NOT };
    fflush(NULL);
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -2;
    child = fork();
    if (child == 0) {
        int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
        struct answer answer = { .state = OPENS_NOT };

        dup2(nowhere, STDOUT_FILENO);
        dup2(nowhere, STDERR_FILENO);
        signal(SIGALRM, SIG_DFL);
        alarm(limit_seconds() + 1);
        ask_driver(library, &answer);
        _exit(write(ends[1], &answer, sizeof answer) == (ssize_t)sizeof answer ? 0 : 1);
    }
    close(ends[1]);
    while (child > 0 && got < sizeof *out && !is_late) {
        struct pollfd wait = { .fd = ends[0], .events = POLLIN };
        uint64_t now_ns = he_now_ns();
        ssize_t size;

        is_late = now_ns >= end_ns;
        if (is_late || poll(&wait, 1, (int)((end_ns - now_ns) / 1000000) + 1) <= 0)
            continue;
        size = read(ends[0], (char *)out + got, sizeof *out - got);
        if (size == 0 || (size < 0 && errno != EINTR))
            break;
        got += size > 0 ? (size_t)size : 0;
    }
    close(ends[0]);
    if (child < 0)
        return -2;
    kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (got == sizeof *out)
        return 0;
    if (is_late)
        return -1;
    return WIFSIGNALED(status) ? WTERMSIG(status) : -2;
}

/* --- Drivers --- */

/* The first line of an .icd file; false when there is none. */
static bool read_icd(const char *path, char out[PATH_MAX], int *error)
{
    FILE *file = fopen(path, "re");
    size_t size;

    out[0] = '\0';
    *error = 0;
    if (!file) {
        *error = errno;
        return false;
    }
    if (!fgets(out, PATH_MAX, file))
        out[0] = '\0';
    fclose(file);
    size = strcspn(out, "\r\n");
    while (size > 0 && (out[size - 1] == ' ' || out[size - 1] == '\t'))
        size--;
    out[size] = '\0';
    return size > 0;
}

static void check_driver(struct findings *list, struct driver *driver)
{
    const struct answer *answer = &driver->answer;
    const char *base = strrchr(driver->file, '/');
    struct finding *finding;
    int error;

    finding = finding_add(list, base ? base + 1 : driver->file);
    if (!driver->library[0] && !read_icd(driver->file, driver->library, &error)) {
        if (error) {
            snprintf(finding->state, sizeof finding->state, "%.200s cannot be read: %s",
                     driver->file, strerror(error));
            finding_problem(list, finding, "chmod a+r %.200s", driver->file);
        } else {
            snprintf(finding->state, sizeof finding->state, "%.300s names no library", driver->file);
            finding_problem(list, finding, "write the name of the driver's library into it, or "
                                           "remove the file");
        }
        return;
    }
    error = ask_in_child(driver->library, &driver->answer);
    if (error != 0) {
        driver->answer = (struct answer){ .state = NO_DEVICE };
        if (error > 0)
            snprintf(finding->state, sizeof finding->state,
                     "the driver %.200s crashed (signal %d, %s) when asked for its devices",
                     driver->library, error, strsignal(error));
        else if (error == -1)
            snprintf(finding->state, sizeof finding->state,
                     "the driver %.200s gave no answer within %u seconds", driver->library,
                     limit_seconds());
        else
            snprintf(finding->state, sizeof finding->state,
                     "the driver %.200s ended the process that asked it", driver->library);
        finding_problem(list, finding, "no OpenCL device can be used with it: install the driver "
                        "anew, or take %.200s away", driver->file);
        return;
    }
    switch (answer->state) {
    case OPENS_NOT:
        snprintf(finding->state, sizeof finding->state, "%.300s", answer->text);
        finding_problem(list, finding, "install the package that has %.150s, or remove %.150s",
                        driver->library, driver->file);
        return;
    case NO_ENTRY:
        snprintf(finding->state, sizeof finding->state,
                 "%.200s is no OpenCL driver: it has no clIcdGetPlatformIDsKHR", driver->library);
        finding_problem(list, finding, "write the driver's library into %.200s; the loader itself "
                        "(libOpenCL.so.1) is none", driver->file);
        return;
    case NO_PLATFORM:
        snprintf(finding->state, sizeof finding->state, "%.150s opens but has no platform (%.150s)",
                 driver->library, answer->text);
        finding_problem(list, finding, "its hardware or kernel module is not there, or not for this "
                        "user; see the device nodes below, or remove %.200s", driver->file);
        return;
    case NO_DEVICE:
        snprintf(finding->state, sizeof finding->state, "platform %s has no devices",
                 answer->platform);
        finding_problem(list, finding, "its hardware is not there, or not for this user; see the "
                        "device nodes below, or remove %.200s", driver->file);
        return;
    case HAS_DEVICES:
        snprintf(finding->state, sizeof finding->state, "%s, %u device%s: %s%s", answer->platform,
                 answer->device_count, answer->device_count > 1 ? "s" : "", answer->devices[0],
                 answer->device_count > 1 ? "..." : "");
        return;
    }
}

/* Two files that bring the same device make two devices of it, and a plan that uses both. */
static void check_twins(struct findings *list, const struct driver *drivers, size_t count)
{
    for (size_t b = 1; b < count; b++) {
        for (size_t a = 0; a < b; a++) {
            const struct answer *x = &drivers[a].answer, *y = &drivers[b].answer;
            struct finding *finding;

            if (x->device_count == 0 || y->device_count == 0 ||
                strcmp(x->platform, y->platform) != 0 || strcmp(x->devices[0], y->devices[0]) != 0)
                continue;
            finding = finding_add(list, "OpenCL drivers");
            snprintf(finding->state, sizeof finding->state,
                     "%.150s and %.150s both bring %s: it is listed twice", drivers[a].file,
                     drivers[b].file, x->devices[0]);
            finding_problem(list, finding, "remove one of the two files");
            break;
        }
    }
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);

    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

static int by_file(const void *a, const void *b)
{
    return strcmp(((const struct driver *)a)->file, ((const struct driver *)b)->file);
}

/* Every .icd file of a folder; -1 when the folder cannot be opened. */
static int list_folder(const char *folder, struct driver *out, size_t *count)
{
    DIR *dir = opendir(folder);
    struct dirent *item;

    if (!dir)
        return -1;
    while ((item = readdir(dir)) != NULL) {
        if (!ends_with(item->d_name, ".icd") || *count == DRIVERS_MAX)
            continue;
        out[*count].library[0] = '\0';
        snprintf(out[(*count)++].file, sizeof out->file, "%.2000s/%.255s", folder, item->d_name);
    }
    closedir(dir);
    qsort(out, *count, sizeof *out, by_file);
    return 0;
}

/*
 * Where the loaders look (ocl-icd's and Khronos'): OCL_ICD_VENDORS, a folder, an .icd file or a
 * library; OPENCL_VENDOR_PATH, a folder; else the usual one.
 */
static void list_drivers(struct findings *list, struct driver *out, size_t *count)
{
    const char *vendors = getenv("OCL_ICD_VENDORS"), *path = getenv("OPENCL_VENDOR_PATH");
    const char *told = vendors && vendors[0] ? vendors : path && path[0] ? path : NULL;
    const char *variable = vendors && vendors[0] ? "OCL_ICD_VENDORS" : "OPENCL_VENDOR_PATH";
    struct finding *finding = finding_add(list, "OpenCL drivers");
    char folder[PATH_MAX];
    struct stat info;

    *count = 0;
    if (told)
        snprintf(folder, sizeof folder, "%s", told);
    else
        at_root(DEFAULT_FOLDER, folder);
    if (told && (stat(told, &info) != 0 || !S_ISDIR(info.st_mode)) &&
        (ends_with(told, ".icd") || strstr(told, ".so"))) {
        snprintf(out[0].file, sizeof out->file, "%s", told);
        snprintf(out[0].library, sizeof out->library, "%s", ends_with(told, ".icd") ? "" : told);
        *count = 1;
        snprintf(finding->state, sizeof finding->state, "only %.300s, which %s names", told, variable);
        return;
    }
    if (list_folder(folder, out, count) != 0) {
        snprintf(finding->state, sizeof finding->state, "%.200s: %s%s%s", folder, strerror(errno),
                 told ? "; named by " : "", told ? variable : "");
        if (told)
            finding_problem(list, finding, "unset %s, or name a folder with .icd files", variable);
        else
            finding_problem(list, finding, "install a driver: pocl-opencl-icd runs on any processor; "
                            "GPUs have their vendor's");
    } else if (*count == 0) {
        snprintf(finding->state, sizeof finding->state, "%.300s has no .icd file%s%s", folder,
                 told ? "; named by " : "", told ? variable : "");
        finding_problem(list, finding, "install a driver (pocl-opencl-icd runs on any processor), or "
                        "write its library's name into a file NAME.icd there");
    } else {
        snprintf(finding->state, sizeof finding->state, "%zu in %.300s%s%s", *count, folder,
                 told ? "; named by " : "", told ? variable : "");
    }
}

/* --- Device nodes --- */

/* A node that is here but not for this user. */
static void check_node(struct findings *list, const char *path)
{
    char full[PATH_MAX];
    struct finding *finding;
    struct group *group;
    struct stat info;

    if (stat(at_root(path, full), &info) != 0 || access(full, R_OK | W_OK) == 0)
        return;
    finding = finding_add(list, path);
    snprintf(finding->state, sizeof finding->state, "cannot be opened by this user: %s",
             strerror(errno));
    group = getgrgid(info.st_gid);
    if ((info.st_mode & 060) == 060 && group && info.st_gid != 0)
        finding_problem(list, finding, "usermod -aG %s USER, then log in anew", group->gr_name);
    else
        finding_problem(list, finding, "give its group both rights: chgrp render %.100s; chmod 660 "
                        "%.100s (for good: a rule in /etc/udev/rules.d)", path, path);
}

static void check_nodes(struct findings *list, const char *folder, const char *prefix)
{
    char full[PATH_MAX], path[PATH_MAX];
    DIR *dir = opendir(at_root(folder, full));
    struct dirent *item;

    while (dir && (item = readdir(dir)) != NULL) {
        if (strncmp(item->d_name, prefix, strlen(prefix)) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%.255s", folder, item->d_name);
        check_node(list, path);
    }
    if (dir)
        closedir(dir);
}

/* --- NVIDIA --- */

#define NVIDIA_LIBRARY "libnvidia-opencl.so.1"

/* Its libraries come with the driver, its .icd file often gets lost: in containers above all. */
static void check_nvidia(struct findings *list, const struct driver *drivers, size_t count)
{
    bool has_node = exists("/dev/nvidiactl"), has_module = exists("/proc/driver/nvidia/version");
    const char *instead = getenv("HETEROENGINE_CHECK_NVIDIA"); /* for tests */
    struct finding *finding;
    struct answer answer;

    for (size_t k = 0; k < count; k++)
        if (strstr(drivers[k].library, "nvidia-opencl"))
            return;
    if (has_module && !has_node) {
        finding = finding_add(list, "NVIDIA");
        snprintf(finding->state, sizeof finding->state,
                 "the kernel module is loaded, but there is no /dev/nvidiactl");
        finding_problem(list, finding, "run nvidia-modprobe -c 0 -u as root, or start the container "
                        "with its GPUs (--gpus all)");
    }
    if (ask_in_child(instead ? instead : NVIDIA_LIBRARY, &answer) == 0 &&
        answer.state == OPENS_NOT) {
        if (!has_node)
            return;
        finding = finding_add(list, "NVIDIA");
        snprintf(finding->state, sizeof finding->state,
                 "a card is here, its OpenCL library is not: %.200s", answer.text);
        finding_problem(list, finding, "install the driver's OpenCL part (Debian: nvidia-opencl-icd; "
                        "containers: NVIDIA_DRIVER_CAPABILITIES=compute,utility)");
        return;
    }
    if (getenv("OCL_ICD_VENDORS") || getenv("OPENCL_VENDOR_PATH"))
        return; /* left out on purpose */
    finding = finding_add(list, "NVIDIA");
    snprintf(finding->state, sizeof finding->state, NVIDIA_LIBRARY
             " is here, but no .icd file names it");
    finding_problem(list, finding, "mkdir -p " DEFAULT_FOLDER " && echo " NVIDIA_LIBRARY " > "
                    DEFAULT_FOLDER "/nvidia.icd");
}

/* --- All of it --- */

/* Opening it loads no driver yet. */
static void check_loader(struct findings *list)
{
    struct finding *finding = finding_add(list, "OpenCL loader");
    void *library = dlopen("libOpenCL.so.1", RTLD_LAZY | RTLD_LOCAL);

    if (library) {
        snprintf(finding->state, sizeof finding->state, "libOpenCL.so.1 opens");
        dlclose(library);
        return;
    }
    snprintf(finding->state, sizeof finding->state, "%.300s", dlerror());
    finding_problem(list, finding, "apt-get install ocl-icd-libopencl1, and a driver such as "
                    "pocl-opencl-icd");
}

void check_opencl(struct findings *list)
{
    struct driver *drivers = calloc(DRIVERS_MAX, sizeof *drivers);
    size_t count;

    if (!drivers)
        return;
    check_loader(list);
    list_drivers(list, drivers, &count);
    for (size_t k = 0; k < count; k++)
        check_driver(list, &drivers[k]);
    check_twins(list, drivers, count);
    check_nvidia(list, drivers, count);
    check_nodes(list, "/dev/dri", "renderD");
    check_nodes(list, "/dev", "nvidia");
    check_nodes(list, "/dev", "kfd");
    free(drivers);
}
