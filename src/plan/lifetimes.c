/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where in the arenas homes lie. Two homes may share bytes when every task and copy that touches one
 * of them is over before any that touches the other starts, whatever the timing of the lanes:
 * the order of each lane and the waits between lanes say so. An event is a task, or a copy; a vector clock per
 * step says how many events of each lane are surely over when it starts. A home is summed up by two such
 * clocks: `used`, its last event on each lane, and `ready`, what is surely over before its first.
 * One home is before another when its used is nowhere beyond the other's ready.
 *
 * A memory that one lane alone touches has lifetimes along that lane, an interval each, and any
 * other has pairs of homes that may meet; src/mem packs both. Were the pairs too many, each lane's own homes
 * would get a section of the arena, along that lane's order, and those that lanes share
 * another, from their first event to the last one that may run beside one of theirs.
 *
 * The lower bound is a set of homes that all meet: those alive at one moment of some run. The runs
 * looked at are the plan's order, and for each lane those in which all others are as far behind
 * or ahead as the waits allow. To the largest set come further homes that meet all of it. Where greedy
 * packing is above that, the heaviest such set is found exactly: "before" is a partial order, and the
 * heaviest antichain of one falls out of a minimum cut (Dilworth's theorem with weights).
 */
#include <stdlib.h>
#include <string.h>

#include "core/size.h"
#include "mem/pack.h"
#include "place/maxflow.h"
#include "plan/lower.h"

#define MOST_PAIRS 30000000u
#define MOST_FLOW_ROOTS 4000u  /* no exact bound beyond */
#define MOST_FLOW_WORK 5000000u
#define MOST_RUNS 8u /* lanes whose runs are looked at for the lower bound */

/* --- The order of events --- */

struct order {
    const struct he_plan *plan;
    uint32_t *begin, *end; /* per step: its events along its lane */
    uint32_t *index;       /* per step: its first event along the plan's order */
    uint32_t *done;        /* [step * lane_count + lane]: events of lane over before it starts */
    uint32_t event_count;
};

static he_status number_events(struct order *o, struct he_arena *arena)
{
    const struct he_plan *plan = o->plan;
    uint32_t *next = he_arena_alloc(arena, plan->lane_count, sizeof *next);
    size_t cells;

    if (!he_size_mul(plan->step_count, plan->lane_count, &cells))
        return he_no_memory();
    o->begin = he_arena_alloc(arena, plan->step_count, sizeof *o->begin);
    o->end = he_arena_alloc(arena, plan->step_count, sizeof *o->end);
    o->index = he_arena_alloc(arena, plan->step_count, sizeof *o->index);
    o->done = he_arena_alloc(arena, cells, sizeof *o->done);
    if (!next || !o->begin || !o->end || !o->index || !o->done)
        return he_no_memory();
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const struct he_step *step = &plan->steps[s];
        uint32_t count = step->kind == HE_STEP_REGION
                             ? plan->regions[step->region].view.task_count : 1;

        o->index[s] = o->event_count;
        o->begin[s] = next[step->lane];
        o->event_count += count;
        o->end[s] = next[step->lane] += count;
    }
    return HE_OK;
}

/* plan->steps is in a topological order, so one sweep settles it. */
static he_status compute_done(struct order *o, struct he_arena *arena)
{
    const struct he_plan *plan = o->plan;
    uint32_t lanes = plan->lane_count;
    uint32_t *before = he_arena_alloc(arena, lanes, sizeof *before); /* last step of each lane */

    if (!before)
        return he_no_memory();
    memset(before, 0xff, lanes * sizeof *before);
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const struct he_step *step = &plan->steps[s];
        uint32_t *mine = &o->done[(size_t)s * lanes];

        if (before[step->lane] != HE_NONE)
            memcpy(mine, &o->done[(size_t)before[step->lane] * lanes], lanes * sizeof *mine);
        before[step->lane] = s;
        mine[step->lane] = o->begin[s];
        for (uint32_t w = 0; w < step->wait_count; w++) {
            uint32_t other = step->waits_for[w], lane = plan->steps[other].lane;
            const uint32_t *theirs = &o->done[(size_t)other * lanes];

            for (uint32_t l = 0; l < lanes; l++) {
                if (theirs[l] > mine[l])
                    mine[l] = theirs[l];
            }
            if (o->end[other] > mine[lane])
                mine[lane] = o->end[other];
        }
    }
    return HE_OK;
}

/* The first step of lane @l before which at least @events of @lane are surely over, as a place in
 * the lane's list; its step_count when there is none. done[] only grows along a lane. */
static uint32_t first_after(const struct order *o, uint32_t l, uint32_t lane, uint32_t events)
{
    const struct he_lane *list = &o->plan->lanes[l];
    uint32_t low = 0, high = list->step_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (o->done[(size_t)list->steps[middle] * o->plan->lane_count + lane] >= events)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Last event, along the plan's order, of anything that may run beside step @s. */
static uint32_t last_beside(const struct order *o, uint32_t s)
{
    const struct he_plan *plan = o->plan;
    const struct he_step *step = &plan->steps[s];
    uint32_t last = o->index[s] + o->end[s] - o->begin[s] - 1;

    for (uint32_t l = 0; l < plan->lane_count; l++) {
        uint32_t after = l == step->lane ? 0 : first_after(o, l, step->lane, o->end[s]);

        if (after > 0) {
            uint32_t beside = plan->lanes[l].steps[after - 1];
            uint32_t end = o->index[beside] + o->end[beside] - o->begin[beside] - 1;

            last = end > last ? end : last;
        }
    }
    return last;
}

/* --- Lifetimes --- */

/* What is known of the bytes behind a root home. */
#define NO_LANE UINT32_MAX
#define MANY_LANES (UINT32_MAX - 1)
struct lifetime {
    uint32_t lane;
    uint32_t maker;       /* the step of its first event */
    uint32_t first, last; /* first and last event that touch it, along the plan's order */
    uint32_t last_beside; /* last event that may run beside one of those */
    uint32_t birth;       /* the first event along its lane */
};

struct lifetimes {
    struct order order;
    struct lifetime *lives;  /* per home */
    uint32_t *used, *ready;  /* [home * lane_count + lane], see above */
    uint32_t *last_user;     /* likewise: the last step there, HE_NONE */
};

static void touch(struct lifetimes *t, uint32_t root, uint32_t s, uint32_t event, uint32_t beside)
{
    const struct order *o = &t->order;
    uint32_t lanes = o->plan->lane_count, lane = o->plan->steps[s].lane;
    uint32_t at = o->index[s] + event, own = o->begin[s] + event;
    const uint32_t *done = &o->done[(size_t)s * lanes];
    uint32_t *ready = &t->ready[(size_t)root * lanes];
    struct lifetime *life = &t->lives[root];

    if (life->lane == NO_LANE)
        *life = (struct lifetime){ lane, s, at, at, beside, own };
    else if (life->lane != lane)
        life->lane = MANY_LANES;
    life->last = at > life->last ? at : life->last;
    life->last_beside = beside > life->last_beside ? beside : life->last_beside;
    for (uint32_t l = 0; l < lanes; l++) {
        uint32_t over = l == lane ? own : done[l];

        ready[l] = over < ready[l] ? over : ready[l];
    }
    if (own + 1 > t->used[(size_t)root * lanes + lane]) {
        t->used[(size_t)root * lanes + lane] = own + 1;
        t->last_user[(size_t)root * lanes + lane] = s;
    }
}

/* Events come in the plan's order, so that the first to touch a home makes it. */
static void touch_all(struct lifetimes *t, const uint32_t *home_of)
{
    const struct he_plan *plan = t->order.plan;
    const struct he_graph *graph = plan->graph;

    for (uint32_t s = 0; s < plan->step_count; s++) {
        const struct he_step *step = &plan->steps[s];
        uint32_t beside = last_beside(&t->order, s), memory = plan->lanes[step->lane].memory;
        const struct he_region *region;

        if (step->kind == HE_STEP_COPY) {
            touch(t, plan->homes[step->from_home].root, s, 0, beside);
            touch(t, plan->homes[step->to_home].root, s, 0, beside);
            continue;
        }
        region = &plan->regions[step->region].view;
        for (uint32_t e = 0; e < region->task_count; e++) {
            const struct he_task *task = &graph->tasks[region->tasks[e]];

            for (uint32_t k = 0; k < task->input_count + task->output_count; k++) {
                uint32_t value = k < task->input_count ? task->inputs[k]
                                                       : task->outputs[k - task->input_count];
                uint32_t home = home_of[(size_t)memory * graph->value_count + value];

                if (home != HE_NONE)
                    touch(t, plan->homes[home].root, s, e, beside);
            }
        }
    }
}

static he_status find_lifetimes(struct lifetimes *t, struct he_arena *arena)
{
    const struct he_plan *plan = t->order.plan;
    size_t homes_by_lanes, cells;
    uint32_t *home_of;
    he_status status = number_events(&t->order, arena);

    if (status == HE_OK)
        status = compute_done(&t->order, arena);
    if (status != HE_OK)
        return status;
    if (!he_size_mul(plan->home_count, plan->lane_count, &homes_by_lanes) ||
        !he_size_mul(plan->memory_count, plan->graph->value_count, &cells))
        return he_no_memory();
    t->lives = he_arena_alloc(arena, plan->home_count, sizeof *t->lives);
    t->used = he_arena_alloc(arena, homes_by_lanes, sizeof *t->used);
    t->ready = he_arena_alloc(arena, homes_by_lanes, sizeof *t->ready);
    t->last_user = he_arena_alloc(arena, homes_by_lanes, sizeof *t->last_user);
    home_of = he_arena_alloc(arena, cells, sizeof *home_of);
    if (!t->lives || !t->used || !t->ready || !t->last_user || !home_of)
        return he_no_memory();
    memset(t->ready, 0xff, homes_by_lanes * sizeof *t->ready);
    memset(t->last_user, 0xff, homes_by_lanes * sizeof *t->last_user);
    memset(home_of, 0xff, cells * sizeof *home_of);
    for (uint32_t h = 0; h < plan->home_count; h++) {
        home_of[(size_t)plan->homes[h].memory * plan->graph->value_count +
                plan->homes[h].value] = h;
        t->lives[h].lane = NO_LANE;
    }
    touch_all(t, home_of);
    return HE_OK;
}

/* Everything about @a is over before anything about @b starts. */
static bool is_before(const struct lifetimes *t, uint32_t a, uint32_t b)
{
    uint32_t lanes = t->order.plan->lane_count;
    const uint32_t *used = &t->used[(size_t)a * lanes], *ready = &t->ready[(size_t)b * lanes];

    for (uint32_t l = 0; l < lanes; l++) {
        if (used[l] > ready[l])
            return false;
    }
    return true;
}

/* --- The homes of one memory --- */

struct room {
    struct he_plan *plan;
    const struct lifetimes *times;
    struct he_arena *arena;
    struct he_plan_memory *memory;
    uint32_t *roots; /* by first event */
    struct he_pack_item *items;
    uint32_t count;
    struct he_pack_graph graph;
    bool has_graph;
    int64_t *balance;        /* per event of a run: bytes born less bytes dead */
    uint32_t *meeting_count; /* per root: how many of the set it meets */
    bool *is_member;
    size_t lower_bound;
};

static int compare_keys(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return a < b ? -1 : a > b;
}

static he_status collect_roots(struct room *room, uint32_t memory)
{
    const struct he_plan *plan = room->plan;
    uint64_t *keys = he_arena_alloc(room->arena, plan->home_count, sizeof *keys);

    room->roots = he_arena_alloc(room->arena, plan->home_count, sizeof *room->roots);
    room->items = he_arena_alloc(room->arena, plan->home_count, sizeof *room->items);
    if (!keys || !room->roots || !room->items)
        return he_no_memory();
    for (uint32_t h = 0; h < plan->home_count; h++) {
        const struct he_home *home = &plan->homes[h];
        const struct lifetime *life = &room->times->lives[h];

        if (home->memory == memory && home->root == h && home->kind == HE_HOME_ARENA &&
            life->lane != NO_LANE)
            keys[room->count++] = (uint64_t)life->first << 32 | h;
    }
    qsort(keys, room->count, sizeof *keys, compare_keys);
    for (uint32_t k = 0; k < room->count; k++)
        room->roots[k] = (uint32_t)keys[k];
    return HE_OK;
}

/* One lane for all of them; MANY_LANES otherwise. */
static uint32_t common_lane(const struct room *room)
{
    uint32_t lane = room->times->lives[room->roots[0]].lane;

    for (uint32_t k = 1; k < room->count; k++) {
        if (room->times->lives[room->roots[k]].lane != lane)
            return MANY_LANES;
    }
    return lane;
}

/* Roots that begin before anything that may run beside root @k is over. */
static uint32_t begun_beside(const struct room *room, uint32_t k)
{
    const struct lifetime *lives = room->times->lives;
    uint32_t last = lives[room->roots[k]].last_beside, low = k + 1, high = room->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (lives[room->roots[middle]].first <= last)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Lists who may meet whom, unless there are more than @most_pairs to be looked at. */
static he_status list_meetings(struct room *room, size_t most_pairs)
{
    size_t pairs = 0, *begin, *fill;
    uint32_t *near;

    for (uint32_t k = 0; k < room->count; k++)
        pairs += begun_beside(room, k) - k - 1;
    if (pairs > most_pairs)
        return HE_OK;
    begin = he_arena_alloc(room->arena, (size_t)room->count + 1, sizeof *begin);
    fill = he_arena_alloc(room->arena, (size_t)room->count + 1, sizeof *fill);
    if (!begin || !fill)
        return he_no_memory();
    /* Who is first in the plan's order cannot be surely after the other. */
    for (uint32_t a = 0; a < room->count; a++) {
        for (uint32_t b = a + 1, end = begun_beside(room, a); b < end; b++) {
            bool meet = !is_before(room->times, room->roots[a], room->roots[b]);

            begin[a + 1] += meet;
            begin[b + 1] += meet;
        }
    }
    for (uint32_t k = 0; k < room->count; k++)
        fill[k + 1] = begin[k + 1] += begin[k];
    near = he_arena_alloc(room->arena, begin[room->count], sizeof *near);
    if (!near)
        return he_no_memory();
    for (uint32_t a = 0; a < room->count; a++) {
        for (uint32_t b = a + 1, end = begun_beside(room, a); b < end; b++) {
            if (is_before(room->times, room->roots[a], room->roots[b]))
                continue;
            near[fill[a]++] = b;
            near[fill[b]++] = a;
        }
    }
    room->graph = (struct he_pack_graph){ begin, near };
    room->has_graph = true;
    return HE_OK;
}

/* --- The lower bound --- */

static size_t bytes_of(const struct room *room, uint32_t k)
{
    return he_size_align(room->plan->homes[room->roots[k]].bytes, HE_PACK_ALIGNMENT);
}

/* Adds homes to the set as long as they meet all of it, the large ones first (they are few, so
 * the largest is looked for each time); gives the set's bytes. */
static size_t complete_set(struct room *room)
{
    const struct he_pack_graph *graph = &room->graph;
    uint32_t member_count = 0;
    size_t bytes = 0;

    memset(room->meeting_count, 0, room->count * sizeof *room->meeting_count);
    for (uint32_t k = 0; k < room->count; k++) {
        if (!room->is_member[k])
            continue;
        member_count++;
        bytes += bytes_of(room, k);
        for (size_t n = graph->begin[k]; n < graph->begin[k + 1]; n++)
            room->meeting_count[graph->near[n]]++;
    }
    for (;;) {
        uint32_t best = HE_NONE;

        for (uint32_t k = 0; k < room->count; k++) {
            if (!room->is_member[k] && room->meeting_count[k] == member_count &&
                (best == HE_NONE || bytes_of(room, k) > bytes_of(room, best)))
                best = k;
        }
        if (best == HE_NONE)
            return bytes;
        room->is_member[best] = true;
        member_count++;
        bytes += bytes_of(room, best);
        for (size_t n = graph->begin[best]; n < graph->begin[best + 1]; n++)
            room->meeting_count[graph->near[n]]++;
    }
}

/* A run, as moments at which one event starts: when root @k is alive, from born up to dead. */
enum run { IN_ORDER, OTHERS_BEHIND, OTHERS_AHEAD };
static void find_life(const struct room *room, enum run run, uint32_t lane, uint32_t k,
                      uint32_t *born, uint32_t *dead)
{
    const struct lifetimes *t = room->times;
    const struct order *o = &t->order;
    const struct he_plan *plan = room->plan;
    uint32_t root = room->roots[k], lanes = plan->lane_count;
    const struct lifetime *life = &t->lives[root];
    uint32_t maker = life->maker, maker_lane = plan->steps[maker].lane;
    const struct he_lane *list = &plan->lanes[lane];

    if (run == IN_ORDER) {
        *born = life->first;
        *dead = life->last + 1;
        return;
    }
    if (maker_lane == lane) {
        *born = life->birth;
    } else if (run == OTHERS_AHEAD) {
        *born = o->done[(size_t)maker * lanes + lane];
    } else {
        uint32_t after = first_after(o, lane, maker_lane, life->birth + 1);

        *born = after < list->step_count ? o->begin[list->steps[after]] : UINT32_MAX;
    }
    *dead = 0;
    for (uint32_t l = 0; l < lanes; l++) {
        uint32_t used = t->used[(size_t)root * lanes + l], end;

        if (used == 0)
            continue;
        if (l == lane) {
            end = used;
        } else if (run == OTHERS_AHEAD) {
            end = o->done[(size_t)t->last_user[(size_t)root * lanes + l] * lanes + lane];
        } else {
            uint32_t after = first_after(o, lane, l, used);

            end = after < list->step_count ? o->begin[list->steps[after]] : UINT32_MAX;
        }
        *dead = end > *dead ? end : *dead;
    }
}

/* The most that lives at once in a run, made a set that cannot grow. */
static void bound_by(struct room *room, enum run run, uint32_t lane)
{
    const struct order *o = &room->times->order;
    const struct he_lane *list = &room->plan->lanes[lane];
    uint32_t moments = run == IN_ORDER ? o->event_count
                       : list->step_count ? o->end[list->steps[list->step_count - 1]] : 0;
    int64_t live = 0, most = 0;
    uint32_t when = 0, born, dead;
    size_t bytes;

    memset(room->balance, 0, ((size_t)moments + 1) * sizeof *room->balance);
    for (uint32_t k = 0; k < room->count; k++) {
        find_life(room, run, lane, k, &born, &dead);
        if (born < moments && born < dead) {
            room->balance[born] += (int64_t)bytes_of(room, k);
            room->balance[dead < moments ? dead : moments] -= (int64_t)bytes_of(room, k);
        }
    }
    for (uint32_t m = 0; m < moments; m++) {
        live += room->balance[m];
        if (live > most) {
            most = live;
            when = m;
        }
    }
    for (uint32_t k = 0; k < room->count; k++) {
        find_life(room, run, lane, k, &born, &dead);
        room->is_member[k] = born <= when && when < dead;
    }
    bytes = room->has_graph ? complete_set(room) : (size_t)most;
    room->lower_bound = bytes > room->lower_bound ? bytes : room->lower_bound;
}

static he_status find_lower_bound(struct room *room)
{
    uint32_t lanes = room->plan->lane_count;

    room->balance = he_arena_alloc(room->arena, (size_t)room->times->order.event_count + 1,
                                   sizeof *room->balance);
    room->meeting_count = he_arena_alloc(room->arena, room->count, sizeof *room->meeting_count);
    room->is_member = he_arena_alloc(room->arena, room->count, sizeof *room->is_member);
    if (!room->balance || !room->meeting_count || !room->is_member)
        return he_no_memory();
    bound_by(room, IN_ORDER, 0);
    for (uint32_t l = 0; l < lanes && l < MOST_RUNS; l++) {
        bound_by(room, OTHERS_BEHIND, l);
        bound_by(room, OTHERS_AHEAD, l);
    }
    return HE_OK;
}

/* Node of a root as one that comes before others, and as one that comes after some. */
static uint32_t node_before(uint32_t k)
{
    return 2 + 2 * k;
}

static uint32_t node_after(uint32_t k)
{
    return 3 + 2 * k;
}

#define WORD_BITS 64u

/* later[a * words ..]: the roots that come after root @a, a bit each. The roots are sorted, so that the
 * first of a pair in order has the lower number. */
static uint64_t *list_later(const struct room *room, size_t words)
{
    uint64_t *later = he_arena_alloc(room->arena, words * room->count, sizeof *later);

    for (uint32_t a = 0; a < room->count && later; a++) {
        uint64_t *mine = later + words * a;

        for (uint32_t b = a + 1; b < room->count; b++)
            mine[b / WORD_BITS] |= (uint64_t)1 << b % WORD_BITS;
        for (size_t n = room->graph.begin[a]; n < room->graph.begin[a + 1]; n++) {
            uint32_t b = room->graph.near[n];

            mine[b / WORD_BITS] &= ~((uint64_t)1 << b % WORD_BITS);
        }
    }
    return later;
}

/* An arc that is never cut for every pair in order with nothing in between; the others follow,
 * since what comes after some comes before others. */
static he_status build_flow(const struct room *room, struct he_flow *flow)
{
    size_t words = (room->count + WORD_BITS - 1) / WORD_BITS;
    uint64_t *later = list_later(room, words);
    uint64_t *covered = he_arena_alloc(room->arena, words, sizeof *covered);
    he_status status = he_flow_reset(flow, 2 + 2 * room->count);
    double uncut = 1.0;

    if (!later || !covered)
        return he_no_memory();
    for (uint32_t k = 0; k < room->count; k++)
        uncut += (double)bytes_of(room, k);
    for (uint32_t a = 0; a < room->count && status == HE_OK; a++) {
        double bytes = (double)bytes_of(room, a);

        memset(covered, 0, words * sizeof *covered);
        status = he_flow_add(flow, HE_FLOW_SOURCE, node_before(a), bytes, 0.0);
        if (status == HE_OK)
            status = he_flow_add(flow, node_after(a), HE_FLOW_SINK, bytes, 0.0);
        if (status == HE_OK)
            status = he_flow_add(flow, node_after(a), node_before(a), uncut, 0.0);
        for (uint32_t b = a + 1; b < room->count && status == HE_OK; b++) {
            uint64_t bit = (uint64_t)1 << b % WORD_BITS;

            if (!(later[words * a + b / WORD_BITS] & bit) || (covered[b / WORD_BITS] & bit))
                continue;
            status = he_flow_add(flow, node_before(a), node_after(b), uncut, 0.0);
            for (size_t w = 0; w < words; w++)
                covered[w] |= later[words * b + w];
        }
    }
    return status;
}

/* The heaviest set of homes that all meet. Whatever the cut is, its set is one: of a pair in order,
 * the second is on the source's side when the first is. */
static he_status find_heaviest_set(struct room *room)
{
    struct he_flow flow;
    size_t bytes;
    he_status status;

    if (room->count > MOST_FLOW_ROOTS)
        return HE_OK;
    he_flow_init(&flow, &room->plan->arena.alloc);
    status = build_flow(room, &flow);
    if (status == HE_OK && he_flow_cut(&flow, MOST_FLOW_WORK)) {
        for (uint32_t k = 0; k < room->count; k++)
            room->is_member[k] = he_flow_is_source_side(&flow, node_before(k)) &&
                                 !he_flow_is_source_side(&flow, node_after(k));
        bytes = complete_set(room);
        room->lower_bound = bytes > room->lower_bound ? bytes : room->lower_bound;
    }
    he_flow_fini(&flow);
    return status;
}

/* --- Packing --- */

/* Packs the roots of one lane (or MANY_LANES) behind what is there, by intervals. */
static he_status pack_section(struct room *room, uint32_t lane)
{
    struct he_plan *plan = room->plan;
    const struct lifetime *lives = room->times->lives;
    struct he_pack_options options = { .alignment = HE_PACK_ALIGNMENT };
    struct he_pack_result result;
    uint32_t count = 0;
    he_status status;

    for (uint32_t k = 0; k < room->count; k++) {
        const struct lifetime *life = &lives[room->roots[k]];

        if (life->lane == lane)
            room->items[count++] = (struct he_pack_item){
                .bytes = plan->homes[room->roots[k]].bytes,
                .first = life->first,
                .last = lane == MANY_LANES ? life->last_beside : life->last,
            };
    }
    status = he_pack_within(room->items, count, &options, &plan->arena.alloc, &result);
    count = 0;
    for (uint32_t k = 0; k < room->count && status == HE_OK; k++) {
        if (lives[room->roots[k]].lane == lane)
            plan->homes[room->roots[k]].offset = room->memory->arena_bytes +
                                                 room->items[count++].offset;
    }
    if (status == HE_OK && !he_size_add(room->memory->arena_bytes, result.total_bytes,
                                        &room->memory->arena_bytes))
        return he_no_memory();
    if (status == HE_OK && result.lower_bound > room->lower_bound)
        room->lower_bound = result.lower_bound;
    return status;
}

static he_status pack_sections(struct room *room)
{
    he_status status = pack_section(room, MANY_LANES);

    for (uint32_t l = 0; l < room->plan->lane_count && status == HE_OK; l++)
        status = pack_section(room, l);
    return status;
}

static he_status pack_pairs(struct room *room)
{
    struct he_pack_options options = { .alignment = HE_PACK_ALIGNMENT, .is_greedy = true };
    struct he_pack_result result;
    he_status status;

    for (uint32_t k = 0; k < room->count; k++) {
        const struct lifetime *life = &room->times->lives[room->roots[k]];

        room->items[k] = (struct he_pack_item){ .bytes = room->plan->homes[room->roots[k]].bytes,
                                                .first = life->first, .last = life->last };
    }
    status = he_pack_pairs(room->items, room->count, &room->graph, room->lower_bound, &options,
                           &room->plan->arena.alloc, &result);
    if (status == HE_OK && !result.is_optimal) {
        options.is_greedy = false;
        status = find_heaviest_set(room);
        if (status == HE_OK)
            status = he_pack_pairs(room->items, room->count, &room->graph, room->lower_bound,
                                   &options, &room->plan->arena.alloc, &result);
    }
    if (status != HE_OK)
        return status;
    for (uint32_t k = 0; k < room->count; k++)
        room->plan->homes[room->roots[k]].offset = room->items[k].offset;
    room->memory->arena_bytes = result.total_bytes;
    return HE_OK;
}

static he_status pack_memory(struct he_plan *plan, const struct lifetimes *times, uint32_t memory,
                             size_t most_pairs, struct he_arena *arena)
{
    struct room room = { .plan = plan, .times = times, .arena = arena,
                         .memory = &plan->memories[memory] };
    he_status status = collect_roots(&room, memory);
    uint32_t lane;

    room.memory->arena_bytes = room.memory->lower_bound_bytes = 0;
    if (status != HE_OK || room.count == 0)
        return status;
    lane = common_lane(&room);
    if (lane != MANY_LANES) {
        status = pack_section(&room, lane);
    } else {
        status = list_meetings(&room, most_pairs);
        if (status == HE_OK)
            status = find_lower_bound(&room);
        if (status == HE_OK)
            status = room.has_graph ? pack_pairs(&room) : pack_sections(&room);
    }
    room.memory->lower_bound_bytes = room.lower_bound;
    return status;
}

he_status he_plan_pack_homes_within(struct he_plan *plan, size_t most_pairs)
{
    struct lifetimes times = { .order.plan = plan };
    struct he_arena arena;
    he_status status;

    he_arena_init(&arena, &plan->arena.alloc);
    status = find_lifetimes(&times, &arena);
    for (uint32_t m = 0; m < plan->memory_count && status == HE_OK; m++)
        status = pack_memory(plan, &times, m, most_pairs, &arena);
    for (uint32_t h = 0; h < plan->home_count && status == HE_OK; h++)
        plan->homes[h].offset = plan->homes[plan->homes[h].root].offset;
    he_arena_fini(&arena);
    return status;
}

he_status he_plan_pack_homes(struct he_plan *plan)
{
    return he_plan_pack_homes_within(plan, MOST_PAIRS);
}
