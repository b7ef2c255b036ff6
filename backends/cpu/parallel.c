/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The team: our own loops run on the OpenMP threads that oneDNN uses too, so that
 * the two never compete for cores. libgomp is opened at run time, when the
 * first program is compiled; without it, or with one thread, nothing here makes
 * an OpenMP call that starts a thread.
 *
 * libgomp's threads spin at barriers, by default (almost) without bound. On a machine with other
 * work that makes a parallel loop up to a thousand times slower, so the spin
 * is bounded before the library loads (docs/decisions/0003-openmp-wait-policy.md).
 */
#include "program.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

#define SPIN_COUNT "20000"

struct cpu_team {
    uint32_t threads;
};

/* Set once by open_once(), then read freely. */
static struct {
    void (*parallel)(void (*body)(void *), void *data, unsigned threads, unsigned flags);
    int (*thread_num)(void);
    int (*num_threads)(void);
    int (*in_parallel)(void);
    int (*get_max_threads)(void);
    void (*set_num_threads)(int);
} openmp;
static pthread_once_t openmp_once = PTHREAD_ONCE_INIT;
static bool has_openmp;

static void open_once(void)
{
    const struct {
        const char *name;
        void *slot;
    } symbols[] = {
        { "GOMP_parallel", &openmp.parallel },
        { "omp_get_thread_num", &openmp.thread_num },
        { "omp_get_num_threads", &openmp.num_threads },
        { "omp_in_parallel", &openmp.in_parallel },
        { "omp_get_max_threads", &openmp.get_max_threads },
        { "omp_set_num_threads", &openmp.set_num_threads },
    };
    bool bound_spin = !getenv("GOMP_SPINCOUNT") && !getenv("OMP_WAIT_POLICY");
    void *library, *symbol;
    size_t k;

    /* libgomp reads its environment while it loads, and only then. */
    if (bound_spin)
        setenv("GOMP_SPINCOUNT", SPIN_COUNT, 1);
    library = dlopen("libgomp.so.1", RTLD_NOW | RTLD_LOCAL);
    if (bound_spin)
        unsetenv("GOMP_SPINCOUNT");
    if (!library)
        return;
    for (k = 0; k < sizeof symbols / sizeof symbols[0]; k++) {
        symbol = dlsym(library, symbols[k].name);
        if (!symbol)
            return;
        *(void **)symbols[k].slot = symbol;
    }
    has_openmp = true;
}

bool cpu_openmp_open(void)
{
    pthread_once(&openmp_once, open_once);
    return has_openmp;
}

he_status cpu_team_create(const struct he_allocator *alloc, uint32_t threads,
                          struct cpu_team **out)
{
    *out = cpu_alloc(alloc, 1, sizeof **out);
    if (!*out)
        return cpu_no_memory();
    (*out)->threads = threads ? threads : 1;
    return HE_OK;
}

void cpu_team_destroy(const struct he_allocator *alloc, struct cpu_team *team)
{
    cpu_free(alloc, team);
}

uint32_t cpu_team_threads(const struct cpu_team *team)
{
    return team ? team->threads : 1;
}

/* oneDNN asks OpenMP how many threads to use, per calling thread. The caller's
 * own setting is put back, since the thread may be the application's. Only
 * programs are bracketed, and those exist after cpu_openmp_open(). */
int cpu_team_begin(const struct cpu_team *team)
{
    int previous;

    if (!has_openmp)
        return 0;
    previous = openmp.get_max_threads();
    if (previous == (int)team->threads)
        return 0;
    openmp.set_num_threads((int)team->threads);
    return previous;
}

void cpu_team_end(int previous)
{
    if (previous)
        openmp.set_num_threads(previous);
}

struct job {
    void (*body)(void *arg, int64_t begin, int64_t end);
    void *arg;
    int64_t count;
};

/* Part k of n of [0, count), without overflow. */
static int64_t part_begin(int64_t count, int64_t k, int64_t n)
{
    int64_t rest = count % n;

    return count / n * k + (k < rest ? k : rest);
}

/* The runtime may give fewer threads than asked for: the split goes by what is there. */
static void run_part(void *data)
{
    const struct job *job = data;
    int64_t k = openmp.thread_num(), n = openmp.num_threads();
    int64_t begin = part_begin(job->count, k, n), end = part_begin(job->count, k + 1, n);

    if (begin < end)
        job->body(job->arg, begin, end);
}

void cpu_parallel(struct cpu_team *team, int64_t count, int64_t grain,
                  void (*body)(void *arg, int64_t begin, int64_t end), void *arg)
{
    struct job job = { body, arg, count };
    int64_t parts;

    if (count <= 0)
        return;
    if (grain < 1)
        grain = 1;
    parts = count / grain;
    if (team && parts > team->threads)
        parts = team->threads;
    if (!team || team->threads <= 1 || parts <= 1 || !has_openmp || openmp.in_parallel()) {
        body(arg, 0, count);
        return;
    }
    openmp.parallel(run_part, &job, (unsigned)parts, 0);
}
