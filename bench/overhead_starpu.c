/* SPDX-License-Identifier: Apache-2.0 */
/* The peer of overhead.c: the same graphs of empty tasks on StarPU, one CPU worker.
 * Built by bench/overhead where StarPU is installed. */
#include <stdio.h>
#include <stdlib.h>

#include <starpu.h>

#define TASKS 10000
#define WIDTH 16
#define REPETITIONS 11

static void nothing(void *buffers[], void *arg)
{
    (void)buffers;
    (void)arg;
}

static struct starpu_codelet codelet = { .cpu_funcs = { nothing }, .nbuffers = 0 };

static struct starpu_task *make_task(void)
{
    struct starpu_task *task = starpu_task_create();

    task->cl = &codelet;
    task->detach = 1;
    return task;
}

static void submit(struct starpu_task *task)
{
    if (starpu_task_submit(task) != 0)
        exit(EXIT_FAILURE);
}

/* Dependencies are declared before submission: tag-free, from task to task. */
static void run(int is_fork_join)
{
    struct starpu_task *last = make_task();
    int count = 1;

    last->destroy = 0;
    while (count < TASKS) {
        struct starpu_task *layer[WIDTH], *next = NULL;
        int width = is_fork_join ? WIDTH : 0;

        for (int k = 0; k < width; k++) {
            layer[k] = make_task();
            starpu_task_declare_deps_array(layer[k], 1, &last);
        }
        next = make_task();
        starpu_task_declare_deps_array(next, is_fork_join ? WIDTH : 1,
                                       is_fork_join ? layer : &last);
        submit(last);
        for (int k = 0; k < width; k++)
            submit(layer[k]);
        last = next;
        count += width + 1;
    }
    submit(last);
    starpu_task_wait_for_all();
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double measure(int is_fork_join)
{
    double samples[REPETITIONS];

    for (int k = -1; k < REPETITIONS; k++) {
        double start = starpu_timing_now();

        run(is_fork_join);
        if (k >= 0)
            samples[k] = (starpu_timing_now() - start) / TASKS;
    }
    qsort(samples, REPETITIONS, sizeof *samples, by_value);
    return samples[REPETITIONS / 2];
}

int main(void)
{
    struct starpu_conf conf;

    starpu_conf_init(&conf);
    conf.ncpus = 1;
    if (starpu_init(&conf) != 0)
        return EXIT_FAILURE;
    printf("StarPU chain      %.3f us/task\n", measure(0));
    printf("StarPU fork-join  %.3f us/task\n", measure(1));
    starpu_shutdown();
    return EXIT_SUCCESS;
}
