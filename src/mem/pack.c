/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who packs, and for how long. Buffers are cut into sets that no time is common to; each set is
 * packed greedily. Where that is above the goal (the peak of live bytes, or the capacity that the
 * caller has), slices of the exact search and of the local search take turns: at the goal first,
 * then at capacities between it and the best packing so far. Without a limit the work is bounded; in
 * most models the greedy orders meet the peak.
 */
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/size.h"
#include "mem/pack_inside.h"

#define MOST_MEETINGS 4000000u    /* pairs; beyond that only greedy orders without lists */
#define UNLIMITED_WORK 16000000u  /* without a time limit: some 40 ms */
#define LOOK_EVERY 50000u         /* work between two looks at the time */
#define LOCAL_SLICE 2000000u
#define FIRST_TRIES 4u
#define FEW_BACKTRACKS 300u
#define MANY_BACKTRACKS 3000u
#define GOAL_TRIES 14u
#define GOAL_BUFFERS 1000u
#define MOST_VISITS 12u /* searches of one set after all had theirs */

struct packing {
    struct he_pack_item *items;
    struct he_arena *arena;
    const struct he_pack_options *options;
    struct pack_set all;    /* sorted by birth */
    uint32_t *item_of;      /* per buffer of all: its item */
    size_t *bytes;          /* per item, rounded up */
    size_t goal;
    size_t step;            /* of the bytes, and so of every packing that is pushed down */
    struct pack_clock clock;
    struct he_pack_result *result;
};

static uint64_t clock_now_ns(bool counts_cpu_time)
{
    return counts_cpu_time ? he_thread_cpu_ns() : he_now_ns();
}

static void start_clock(struct pack_clock *clock, const struct he_pack_options *options)
{
    double limit = options->time_limit;

    *clock = (struct pack_clock){ .counts_cpu_time = options->counts_cpu_time,
                                  .most_work = UNLIMITED_WORK };
    if (!(limit > 0.0))
        return;
    clock->most_work = UINT64_MAX;
    clock->deadline_ns = clock_now_ns(clock->counts_cpu_time) +
                         (uint64_t)((limit < 1e6 ? limit : 1e6) * 1e9);
}

bool he_pack_is_over(struct pack_clock *clock, uint64_t work)
{
    clock->work += work;
    if (clock->is_over || clock->work > clock->most_work) {
        clock->is_over = true;
    } else if (clock->deadline_ns && clock->work >= clock->next_look) {
        clock->next_look = clock->work + LOOK_EVERY;
        clock->is_over = clock_now_ns(clock->counts_cpu_time) >= clock->deadline_ns;
    }
    return clock->is_over;
}

/* --- Sets --- */

struct birth {
    uint32_t first, last, item;
};

static int compare_births(const void *left, const void *right)
{
    const struct birth *a = left, *b = right;

    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    return a->item < b->item ? -1 : a->item > b->item;
}

static he_status check_items(const struct packing *p, size_t count, size_t alignment)
{
    size_t sum = 0;

    for (size_t k = 0; k < count; k++) {
        const struct he_pack_item *item = &p->items[k];

        if (item->first > item->last)
            return he_error_set(HE_ERR_INVALID, "buffer %zu dies at step %u, before it is born at %u",
                                k, item->last, item->first);
        if (item->bytes > SIZE_MAX - alignment ||
            !he_size_add(sum, he_size_align(item->bytes, alignment), &sum))
            return he_error_set(HE_ERR_INVALID, "the buffers together are larger than the address "
                                                "space");
        p->bytes[k] = he_size_align(item->bytes, alignment);
    }
    return HE_OK;
}

static size_t greatest_divisor(size_t a, size_t b)
{
    while (b > 0) {
        size_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

/* All buffers that have bytes, by birth. */
static he_status collect(struct packing *p, size_t count)
{
    struct birth *births = he_arena_alloc(p->arena, count, sizeof *births);
    struct pack_set *all = &p->all;

    p->item_of = he_arena_alloc(p->arena, count, sizeof *p->item_of);
    all->bytes = he_arena_alloc(p->arena, count, sizeof *all->bytes);
    all->first = he_arena_alloc(p->arena, count, sizeof *all->first);
    all->last = he_arena_alloc(p->arena, count, sizeof *all->last);
    all->offsets = he_arena_alloc(p->arena, count, sizeof *all->offsets);
    if (!births || !p->item_of || !all->bytes || !all->first || !all->last || !all->offsets)
        return he_no_memory();
    for (uint32_t k = 0; k < count; k++) {
        p->items[k].offset = 0;
        if (p->bytes[k] > 0)
            births[all->count++] = (struct birth){ p->items[k].first, p->items[k].last, k };
        p->step = greatest_divisor(p->step, p->bytes[k]);
    }
    qsort(births, all->count, sizeof *births, compare_births);
    for (uint32_t k = 0; k < all->count; k++) {
        p->item_of[k] = births[k].item;
        all->bytes[k] = p->bytes[births[k].item];
        all->first[k] = births[k].first;
        all->last[k] = births[k].last;
    }
    return HE_OK;
}

/* The buffers that are born while @k lives, itself left out, are those up to here. */
static uint32_t born_within(const struct pack_set *set, uint32_t k)
{
    uint32_t low = k + 1, high = set->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (set->first[middle] <= set->last[k])
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Lists who meets whom, unless that is too much. */
static he_status list_meetings(struct pack_set *set, struct he_arena *arena)
{
    size_t *begin, *fill, pairs = 0;
    uint32_t *near;

    for (uint32_t k = 0; k < set->count; k++)
        pairs += born_within(set, k) - k - 1;
    if (pairs > MOST_MEETINGS)
        return HE_OK;
    begin = he_arena_alloc(arena, (size_t)set->count + 1, sizeof *begin);
    fill = he_arena_alloc(arena, set->count, sizeof *fill);
    near = he_arena_alloc(arena, 2 * pairs, sizeof *near);
    if (!begin || !fill || !near)
        return he_no_memory();
    for (uint32_t k = 0; k < set->count; k++) {
        uint32_t end = born_within(set, k);

        begin[k + 1] += end - k - 1;
        for (uint32_t other = k + 1; other < end; other++)
            begin[other + 1]++;
    }
    for (uint32_t k = 0; k < set->count; k++)
        begin[k + 1] += begin[k];
    for (uint32_t k = 0; k < set->count; k++) {
        uint32_t end = born_within(set, k);

        for (uint32_t other = k + 1; other < end; other++) {
            near[begin[k] + fill[k]++] = other;
            near[begin[other] + fill[other]++] = k;
        }
    }
    set->begin = begin;
    set->near = near;
    return HE_OK;
}

/* The most that lives at once, which no packing can get below. */
static he_status find_peak(const struct pack_set *set, struct he_arena *arena, size_t *peak)
{
    struct birth *deaths = he_arena_alloc(arena, set->count, sizeof *deaths);
    uint32_t dead = 0;
    size_t live = 0;

    *peak = 0;
    if (!deaths)
        return he_no_memory();
    for (uint32_t k = 0; k < set->count; k++)
        deaths[k] = (struct birth){ .first = set->last[k], .item = k };
    qsort(deaths, set->count, sizeof *deaths, compare_births);
    for (uint32_t k = 0; k < set->count; k++) {
        for (; deaths[dead].first < set->first[k]; dead++)
            live -= set->bytes[deaths[dead].item];
        live += set->bytes[k];
        *peak = live > *peak ? live : *peak;
    }
    return HE_OK;
}

/* --- Search --- */

struct search {
    struct packing *packing;
    struct pack_set *set;
    struct pack_exact *exact; /* NULL: too large, or not for lifetimes */
    struct pack_local *local;
    size_t proven; /* no total below it */
    size_t *offsets;
};

static size_t round_up(const struct packing *p, size_t bytes)
{
    return bytes % p->step ? bytes + (p->step - bytes % p->step) : bytes;
}

/* Tries one capacity; false when that did not settle it. */
static he_status try_capacity(struct search *s, size_t capacity, uint32_t tries,
                              uint32_t backtracks, bool *is_settled)
{
    enum pack_answer answer;
    he_status status = he_pack_exact_run(s->exact, capacity, tries, backtracks,
                                         &s->packing->clock, &answer);

    *is_settled = answer != PACK_UNKNOWN;
    if (status == HE_OK && answer == PACK_NONE) {
        s->proven = capacity + s->packing->step;
    } else if (status == HE_OK && answer == PACK_FOUND) {
        size_t total = he_pack_exact_answer(s->exact, s->offsets);

        if (total < s->set->total) {
            s->set->total = total;
            memcpy(s->set->offsets, s->offsets, s->set->count * sizeof *s->offsets);
        }
    }
    return status;
}

/* What there is to reach yet; nothing when it is not below the total. */
static size_t goal_of(const struct search *s)
{
    return s->proven > s->packing->goal ? s->proven : s->packing->goal;
}

/* From the goal up to the best packing by halves: where one capacity is left open, the one half way
 * to the best is tried. */
static he_status climb(struct search *s, uint32_t tries, uint32_t backtracks)
{
    size_t open = goal_of(s);
    he_status status = HE_OK;

    while (status == HE_OK && open < s->set->total && !he_pack_is_over(&s->packing->clock, 0)) {
        bool is_settled;

        status = try_capacity(s, open, tries, backtracks, &is_settled);
        if (status != HE_OK || s->set->total <= goal_of(s))
            break;
        if (is_settled && s->set->total <= open)
            open = goal_of(s); /* better than what was open: from below again, by halves */
        else if (is_settled && open < s->proven)
            open = s->proven;
        open = round_up(s->packing, open + (s->set->total - open + 1) / 2);
        if (s->set->total - s->set->total / 128 <= open)
            break;
    }
    return status;
}

static he_status run_search(struct search *s, uint64_t seed, bool has_lifetimes,
                            struct he_arena *arena)
{
    struct packing *p = s->packing;
    struct pack_set *set = s->set;
    he_status status = HE_OK;
    bool is_settled;

    s->offsets = he_arena_alloc(arena, set->count, sizeof *s->offsets);
    if (!s->offsets)
        return he_no_memory();
    if (has_lifetimes)
        status = he_pack_exact_create(set, seed, arena, &s->exact);
    if (status == HE_OK)
        status = he_pack_local_create(set, seed, arena, &s->local);
    /* A packing to begin with; all that is known to be good, at the goal; then in turns. */
    if (s->exact && status == HE_OK)
        status = climb(s, 1, FEW_BACKTRACKS);
    if (s->exact && status == HE_OK && set->total > goal_of(s) && set->count <= GOAL_BUFFERS)
        status = try_capacity(s, goal_of(s), GOAL_TRIES, MANY_BACKTRACKS,
                              &is_settled);
    for (uint32_t tries = FIRST_TRIES; status == HE_OK && set->total > goal_of(s) &&
         !he_pack_is_over(&p->clock, 0); tries += tries < 1024 ? tries / 2 : 0) {
        if (s->exact)
            status = climb(s, tries, MANY_BACKTRACKS);
        if (status == HE_OK && set->total > goal_of(s))
            he_pack_local_run(s->local, goal_of(s), LOCAL_SLICE, &p->clock);
    }
    he_pack_exact_destroy(s->exact);
    return status;
}

static he_status search(struct packing *p, struct pack_set *set, uint64_t seed, bool has_lifetimes)
{
    struct search s = { .packing = p, .set = set, .proven = p->result->lower_bound };
    struct he_arena arena;
    he_status status;

    if (!set->begin || set->count < 2)
        return HE_OK;
    he_arena_init(&arena, &p->arena->alloc);
    status = run_search(&s, seed, has_lifetimes, &arena);
    he_arena_fini(&arena);
    if (s.proven > p->result->lower_bound)
        p->result->lower_bound = s.proven;
    return status;
}

/* --- The whole --- */

static int compare_sets(const void *left, const void *right)
{
    const struct pack_set *a = left, *b = right;

    if (a->count != b->count)
        return a->count < b->count ? -1 : 1;
    return a->bytes < b->bytes ? -1 : a->bytes > b->bytes;
}

/* A share of what is left for one search. */
static void share_clock(struct pack_clock *clock, const struct pack_clock *whole, uint32_t shares)
{
    clock->is_over = false;
    clock->next_look = 0;
    if (whole->deadline_ns) {
        uint64_t now = clock_now_ns(whole->counts_cpu_time);

        clock->deadline_ns = now < whole->deadline_ns ? now + (whole->deadline_ns - now) / shares
                                                      : now;
    } else {
        clock->most_work = clock->work < whole->most_work
                               ? clock->work + (whole->most_work - clock->work) / shares
                               : clock->work;
    }
}

/* The largest total is what has to shrink: each set above the goal gets a share, the smaller sets
 * first, and then the largest total gets half of what is left again and again. */
static he_status search_sets(struct packing *p, struct pack_set *sets, uint32_t set_count,
                             bool has_lifetimes)
{
    struct pack_clock whole = p->clock;
    he_status status = HE_OK;
    uint32_t open = 0;
    uint64_t seed = p->options->seed;

    qsort(sets, set_count, sizeof *sets, compare_sets);
    for (uint32_t k = 0; k < set_count; k++)
        open += sets[k].total > p->goal;
    for (uint32_t k = 0; k < set_count && status == HE_OK; k++) {
        if (sets[k].total <= p->goal)
            continue;
        share_clock(&p->clock, &whole, open > 1 ? open : 2);
        status = search(p, &sets[k], seed, has_lifetimes);
        open -= open > 0;
    }
    for (uint32_t visit = 0; visit < MOST_VISITS && status == HE_OK; visit++) {
        uint32_t worst = 0;

        for (uint32_t k = 1; k < set_count; k++)
            worst = sets[k].total > sets[worst].total ? k : worst;
        if (sets[worst].total <= p->goal || sets[worst].total <= p->result->lower_bound)
            break;
        share_clock(&p->clock, &whole, visit + 1 < MOST_VISITS ? 2 : 1);
        status = search(p, &sets[worst], ++seed, has_lifetimes);
    }
    return status;
}

static he_status pack_sets(struct packing *p, struct pack_set *sets, uint32_t set_count,
                           bool has_lifetimes)
{
    he_status status = HE_OK;

    p->goal = p->result->lower_bound;
    if (p->options->capacity > p->goal)
        p->goal = p->options->capacity;
    for (uint32_t k = 0; k < set_count && status == HE_OK; k++)
        status = he_pack_greedy(&sets[k], p->goal, p->arena, &p->clock);
    if (status == HE_OK && !p->options->is_greedy && !p->clock.is_over)
        status = search_sets(p, sets, set_count, has_lifetimes);
    for (uint32_t k = 0; k < set_count; k++) {
        if (sets[k].total > p->result->total_bytes)
            p->result->total_bytes = sets[k].total;
    }
    return status;
}

/* Cuts the buffers where nothing lives on both sides. */
static he_status pack_lifetimes(struct packing *p)
{
    struct pack_set *all = &p->all, *sets = NULL;
    uint32_t set_count = 0;
    size_t room = 0;
    he_status status = find_peak(all, p->arena, &p->result->lower_bound);

    for (uint32_t from = 0, end; from < all->count && status == HE_OK; from = end) {
        uint32_t last = all->last[from];
        struct pack_set set = { .bytes = all->bytes + from, .first = all->first + from,
                                .last = all->last + from, .offsets = all->offsets + from };

        for (end = from; end < all->count && all->first[end] <= last; end++)
            last = all->last[end] > last ? all->last[end] : last;
        set.count = end - from;
        status = list_meetings(&set, p->arena);
        if (status == HE_OK)
            status = he_alloc_grow(&p->arena->alloc, (void **)&sets, &room, set_count,
                                   (size_t)set_count + 1, sizeof *sets);
        if (status == HE_OK)
            sets[set_count++] = set;
    }
    if (status == HE_OK)
        status = pack_sets(p, sets, set_count, true);
    he_free(&p->arena->alloc, sets);
    return status;
}

/* The lists of meetings among the buffers that have bytes, in the set's numbers. */
static he_status copy_meetings(struct packing *p, size_t count, const struct he_pack_graph *graph)
{
    uint32_t *place = he_arena_alloc(p->arena, count, sizeof *place);
    size_t *begin = he_arena_alloc(p->arena, (size_t)p->all.count + 1, sizeof *begin);
    uint32_t *near = he_arena_alloc(p->arena, graph->begin[count], sizeof *near);
    size_t next = 0;

    if (!place || !begin || !near)
        return he_no_memory();
    memset(place, 0xff, count * sizeof *place);
    for (uint32_t k = 0; k < p->all.count; k++)
        place[p->item_of[k]] = k;
    for (uint32_t k = 0; k < p->all.count; k++) {
        uint32_t item = p->item_of[k];

        begin[k] = next;
        for (size_t n = graph->begin[item]; n < graph->begin[item + 1]; n++) {
            if (place[graph->near[n]] != UINT32_MAX)
                near[next++] = place[graph->near[n]];
        }
    }
    begin[p->all.count] = next;
    p->all.begin = begin;
    p->all.near = near;
    return HE_OK;
}

static he_status pack_graph(struct packing *p, size_t count, const struct he_pack_graph *graph,
                            size_t lower_bound)
{
    he_status status = copy_meetings(p, count, graph);

    p->result->lower_bound = lower_bound;
    for (uint32_t k = 0; k < p->all.count; k++) {
        if (p->all.bytes[k] > p->result->lower_bound)
            p->result->lower_bound = p->all.bytes[k];
    }
    return status == HE_OK && p->all.count > 0 ? pack_sets(p, &p->all, 1, false) : status;
}

static he_status pack_all(struct packing *p, size_t count, const struct he_pack_graph *graph,
                          size_t lower_bound)
{
    size_t alignment = p->options->alignment ? p->options->alignment : HE_PACK_ALIGNMENT;
    he_status status;

    p->bytes = he_arena_alloc(p->arena, count, sizeof *p->bytes);
    if (!p->bytes)
        return he_no_memory();
    status = check_items(p, count, alignment);
    if (status == HE_OK)
        status = collect(p, count);
    if (status == HE_OK)
        status = graph ? pack_graph(p, count, graph, lower_bound) : pack_lifetimes(p);
    for (uint32_t k = 0; k < p->all.count && status == HE_OK; k++)
        p->items[p->item_of[k]].offset = p->all.offsets[k];
    return status;
}

static he_status run(struct he_pack_item *items, size_t count, const struct he_pack_graph *graph,
                     size_t lower_bound, const struct he_pack_options *options,
                     const struct he_allocator *alloc, struct he_pack_result *result)
{
    struct packing p = { .items = items, .options = options, .result = result };
    struct he_arena arena;
    he_status status;

    if ((count && !items) || !options || !alloc || !result)
        return he_error_set(HE_ERR_INVALID, "he_pack: an argument is missing");
    *result = (struct he_pack_result){ .is_optimal = true };
    if (options->alignment & (options->alignment - 1))
        return he_error_set(HE_ERR_INVALID, "the alignment of buffers, %zu, is no power of two",
                            options->alignment);
    if (count >= UINT32_MAX)
        return he_error_set(HE_ERR_INVALID, "%zu buffers are too many to pack", count);
    if (count == 0)
        return HE_OK;
    he_arena_init(&arena, alloc);
    p.arena = &arena;
    start_clock(&p.clock, options);
    status = pack_all(&p, count, graph, lower_bound);
    result->is_optimal = result->total_bytes == result->lower_bound;
    if (status != HE_OK)
        *result = (struct he_pack_result){ 0 };
    he_arena_fini(&arena);
    return status;
}

he_status he_pack_within(struct he_pack_item *items, size_t count,
                         const struct he_pack_options *options, const struct he_allocator *alloc,
                         struct he_pack_result *result)
{
    return run(items, count, NULL, 0, options, alloc, result);
}

he_status he_pack_pairs(struct he_pack_item *items, size_t count, const struct he_pack_graph *graph,
                        size_t lower_bound, const struct he_pack_options *options,
                        const struct he_allocator *alloc, struct he_pack_result *result)
{
    if (count && (!graph || !graph->begin || !graph->near))
        return he_error_set(HE_ERR_INVALID, "he_pack: an argument is missing");
    return run(items, count, graph, lower_bound, options, alloc, result);
}

he_status he_pack(struct he_pack_item *items, size_t count, const struct he_allocator *alloc,
                  size_t *total_bytes, size_t *lower_bound)
{
    struct he_pack_options options = { .alignment = HE_PACK_ALIGNMENT };
    struct he_pack_result result = { 0 };
    he_status status;

    if (!total_bytes || !lower_bound)
        return he_error_set(HE_ERR_INVALID, "he_pack: an argument is missing");
    status = he_pack_within(items, count, &options, alloc, &result);
    *total_bytes = result.total_bytes;
    *lower_bound = result.lower_bound;
    return status;
}
