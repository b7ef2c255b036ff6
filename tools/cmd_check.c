/* SPDX-License-Identifier: Apache-2.0 */
/* hetero check: what this machine has, what is missing, and how to mend it. */
#include <dlfcn.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>

#include "check.h"
#include "core/device.h"
#include "core/size.h"

struct finding *finding_add(struct findings *list, const char *what)
{
    struct finding *finding;

    if (list->count < HE_COUNT(list->items))
        list->count++;
    finding = &list->items[list->count - 1];
    *finding = (struct finding){ .state = "" };
    snprintf(finding->what, sizeof finding->what, "%s", what);
    return finding;
}

void finding_problem(struct findings *list, struct finding *finding, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(finding->remedy, sizeof finding->remedy, format, args);
    va_end(args);
    finding->is_problem = true;
    list->problems++;
}

static void check_library(struct findings *list, const char *what, const char *const *names,
                          const char *remedy)
{
    struct finding *finding = finding_add(list, what);

    for (size_t k = 0; names[k]; k++) {
        void *library = dlopen(names[k], RTLD_LAZY | RTLD_LOCAL);

        if (library) {
            snprintf(finding->state, sizeof finding->state, "%s opens", names[k]);
            dlclose(library);
            return;
        }
    }
    snprintf(finding->state, sizeof finding->state, "%s not found", names[0]);
    finding_problem(list, finding, "%s", remedy);
}

static void check_backend(struct findings *list, const struct he_backend *backend)
{
    struct finding *finding = finding_add(list, backend->name);
    size_t count = 0;
    he_status status;

    he_error_set(HE_OK, "%s", "");
    status = backend->enumerate(NULL, 0, &count);
    if (status != HE_OK)
        snprintf(finding->state, sizeof finding->state, "failed: %.300s", he_error_message());
    else if (count == 0)
        snprintf(finding->state, sizeof finding->state, "no device%s%.300s",
                 he_error_message()[0] ? ": " : "", he_error_message());
    else
        snprintf(finding->state, sizeof finding->state, "%zu device%s", count, count > 1 ? "s" : "");
    if (status != HE_OK)
        finding_problem(list, finding,
                        "see the vendor's installation notes; other backends are not affected");
}

static void check_memlock(struct findings *list)
{
    struct finding *finding = finding_add(list, "locked memory");
    struct rlimit limit;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0)
        return;
    if (limit.rlim_cur == RLIM_INFINITY) {
        snprintf(finding->state, sizeof finding->state, "unlimited");
        return;
    }
    snprintf(finding->state, sizeof finding->state, "%llu KiB",
             (unsigned long long)limit.rlim_cur / 1024);
    if (limit.rlim_cur < 64u << 20)
        snprintf(finding->remedy, sizeof finding->remedy,
                 "RDMA and pinned memory want more: ulimit -l unlimited, or memlock in "
                 "/etc/security/limits.conf");
}

static int print_findings(const struct findings *list, bool as_json)
{
    struct he_json_writer json;
    struct he_text text;

    if (!as_json) {
        for (size_t k = 0; k < list->count; k++) {
            printf("%-16s %s\n", list->items[k].what, list->items[k].state);
            if (list->items[k].remedy[0])
                printf("%-16s   -> %s\n", "", list->items[k].remedy);
        }
        return EXIT_DONE;
    }
    he_text_init(&text, NULL);
    he_json_begin(&json, &text, true);
    he_json_object(&json, NULL);
    he_json_array(&json, "findings");
    for (size_t k = 0; k < list->count; k++) {
        he_json_object_flat(&json, NULL);
        he_json_string(&json, "what", list->items[k].what);
        he_json_string(&json, "state", list->items[k].state);
        he_json_bool(&json, "problem", list->items[k].is_problem);
        if (list->items[k].remedy[0])
            he_json_string(&json, "remedy", list->items[k].remedy);
        he_json_object_end(&json);
    }
    he_json_array_end(&json);
    he_json_int(&json, "problems", (int64_t)list->problems);
    he_json_object_end(&json);
    he_text_append(&text, "\n", 1);
    return tool_print(&text);
}

static int run(const struct tool_args *args)
{
    static const char *const onednn[] = { "libdnnl.so.3", "libdnnl.so.2", NULL };
    struct findings list = { .count = 0 };
    int code;

    for (size_t k = 0; k < he_backend_count(); k++)
        check_backend(&list, he_backend_at(k));
    check_library(&list, "oneDNN", onednn, "apt-get install libdnnl3 (Debian 12: libdnnl2); without "
                                           "it the built-in kernels run, several times slower");
    check_opencl(&list);
    if (!args->compatibility)
        check_memlock(&list);
    code = print_findings(&list, args->json);
    return code ? code : list.problems ? EXIT_FAILED : EXIT_DONE;
}

const struct tool_command cmd_check = {
    .name = "check",
    .summary = "examines drivers, versions, limits",
    .usage = "check [--compatibility] [--json]",
    .options = "compatibility",
    .details = "Looks at backends, libraries, OpenCL's drivers (each in a process of its own), device\n"
               "nodes and limits, and says how to mend what is missing. Exit code 1 when something is.",
    .examples = "  hetero check\n"
                "  hetero check --compatibility\n",
    .run = run,
};
