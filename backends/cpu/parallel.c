/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The team: our own loops run on the OpenMP threads that oneDNN uses too, so that
 * the two never compete for cores. libgomp is opened at run time, when the
 * first program is compiled; without it, or with one thread, nothing here makes
 * an OpenMP call that starts a thread.
 *
 * libgomp's threads spin at barriers, by default for milliseconds, and when the
 * scheduler has put two of them on one core every barrier costs that long. So
 * the spin is bounded before the library loads, and a team that has a core for
 * each thread is bound to its cores (docs/decisions/0003-openmp-wait-policy.md).
 */
#include "program.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

/* About 50 us of pause instructions: what it costs to sleep and be woken. */
#define SPIN_COUNT "1000"

struct cpu_team {
    uint32_t threads;
    uint32_t id;       /* never 0, never used again */
    bool is_bound;     /* thread k belongs on places[k] */
    cpu_set_t cpus;    /* all of them */
    cpu_set_t *places; /* one per thread when is_bound */
};

/* The team whose place this thread has taken; 0: none, its mask is what it was born with. */
static _Thread_local uint32_t bound_team;
/* The team whose other threads this one has sent to their places. They are born with its
 * mask, so a bound first thread must do that before it starts any loop. */
static _Thread_local uint32_t settled_team;

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
                          const cpu_set_t *cpus, const cpu_set_t *cores, uint32_t core_count,
                          struct cpu_team **out)
{
    static _Atomic uint32_t last_id;
    struct cpu_team *team = cpu_alloc(alloc, 1, sizeof *team);
    uint32_t k;

    *out = NULL;
    if (!team)
        return cpu_no_memory();
    team->threads = threads ? threads : 1;
#ifdef __SANITIZE_THREAD__
    team->threads = 1; /* libgomp's barriers are unknown to it: every loop would look like a race */
#endif
    team->id = atomic_fetch_add(&last_id, 1) + 1;
    team->cpus = *cpus;
    team->is_bound = team->threads > 1 && team->threads == core_count;
    if (team->is_bound) {
        team->places = cpu_alloc(alloc, core_count, sizeof *team->places);
        if (!team->places) {
            cpu_team_destroy(alloc, team);
            return cpu_no_memory();
        }
        for (k = 0; k < core_count; k++)
            team->places[k] = cores[k];
    }
    *out = team;
    return HE_OK;
}

void cpu_team_destroy(const struct he_allocator *alloc, struct cpu_team *team)
{
    if (team)
        cpu_free(alloc, team->places);
    cpu_free(alloc, team);
}

uint32_t cpu_team_threads(const struct cpu_team *team)
{
    return team ? team->threads : 1;
}

/* --- Places --- */

/* A refusal costs speed, not correctness. */
static void set_mask(const cpu_set_t *mask)
{
    pthread_setaffinity_np(pthread_self(), sizeof *mask, mask);
}

/*
 * Only a team of two binds its first thread. libgomp lets threads go when a
 * team shrinks (oneDNN chooses the size of each loop) and starts new ones later, which
 * inherit the mask of the first: if that were one core they would all begin
 * there. Two threads never shrink, since a loop of one needs no team.
 */
static bool binds_first(const struct cpu_team *team)
{
    return team->is_bound && team->threads == 2;
}

static void take_place(const struct cpu_team *team, int k)
{
    if (bound_team == team->id)
        return;
    if (k == 0)
        return; /* the first thread is bound by whoever owns it */
    if (team->is_bound && (uint32_t)k < team->threads)
        set_mask(&team->places[k]);
    else if (bound_team)
        set_mask(&team->cpus);
    bound_team = team->id;
}

static void take_places(void *team)
{
    take_place(team, openmp.thread_num());
}

void cpu_team_own_thread(const struct cpu_team *team)
{
    set_mask(binds_first(team) ? &team->places[0] : &team->cpus);
    bound_team = team->id;
}

void cpu_team_begin(const struct cpu_team *team, struct cpu_team_guard *guard)
{
    int threads = (int)cpu_team_threads(team);

    *guard = (struct cpu_team_guard){ 0 };
    if (!has_openmp)
        return;
    /* oneDNN asks OpenMP how many threads to use, per calling thread. */
    guard->threads = openmp.get_max_threads();
    if (guard->threads != threads)
        openmp.set_num_threads(threads);
    if (!team || !team->is_bound)
        return;
    if (bound_team != team->id && binds_first(team)) {
        guard->has_mask = pthread_getaffinity_np(pthread_self(), sizeof guard->mask,
                                                 &guard->mask) == 0;
        set_mask(&team->places[0]);
    }
    if (settled_team != team->id) {
        openmp.parallel(take_places, (void *)(uintptr_t)team, team->threads, 0);
        settled_team = team->id;
    }
}

void cpu_team_end(const struct cpu_team_guard *guard)
{
    if (guard->threads)
        openmp.set_num_threads(guard->threads);
    if (guard->has_mask)
        set_mask(&guard->mask);
}

/* --- Loops --- */

struct job {
    void (*body)(void *arg, int64_t begin, int64_t end);
    void *arg;
    const struct cpu_team *team;
    int64_t count, parts;
};

/* Where part k of n of [0, count) begins, without overflow. */
static int64_t part_begin(int64_t count, int64_t k, int64_t n)
{
    int64_t rest = count % n;

    return count / n * k + (k < rest ? k : rest);
}

/* The runtime may give fewer threads than asked for; then each does several parts. */
static void run_parts(void *data)
{
    const struct job *job = data;
    int64_t k = openmp.thread_num(), n = openmp.num_threads();

    take_place(job->team, (int)k);
    for (; k < job->parts; k += n)
        job->body(job->arg, part_begin(job->count, k, job->parts),
                  part_begin(job->count, k + 1, job->parts));
}

void cpu_parallel(struct cpu_team *team, int64_t count, int64_t grain,
                  void (*body)(void *arg, int64_t begin, int64_t end), void *arg)
{
    struct job job = { body, arg, team, count, 0 };

    if (count <= 0)
        return;
    job.parts = grain > 1 ? count / grain : count;
    if (team && job.parts > team->threads)
        job.parts = team->threads;
    if (!team || team->threads <= 1 || job.parts <= 1 || !has_openmp || openmp.in_parallel()) {
        body(arg, 0, count);
        return;
    }
    /* Always the whole team: a smaller one would end threads. */
    openmp.parallel(run_parts, &job, team->threads, 0);
}
