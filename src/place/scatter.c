/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Annealing of the largest load at several levels: parts are paired along heavy nets until
 * few are left, the few are placed, and each level starts from the one above (multilevel
 * partitioning, Hendrickson and Leland 1995). Rounds alternate between pairs within
 * the devices of the best answers, which keeps those answers, and pairs of any kind, from the start.
 * What is annealed is a high norm of the loads: the largest counts most, but relief of the next
 * ones is progress too.
 */
#include <string.h>

#include "judge.h"
#include "loads.h"
#include "scatter.h"
#include "spread.h"
#include "units.h"

#define MOST_LEVELS 16
#define ELITE 4
#define STALE 40         /* rounds without a better answer before a new start */
#define ROUNDS 6         /* without a time limit */
#define MOVES 60.0       /* per part and level, in the first rounds */
#define LEAST_MOVES 2000.0 /* at a level */
#define MOST_MOVES 60000.0 /* likewise, without a time limit */
/* Temperatures at the top, relative to the largest load; lower levels begin at a quarter. Rounds
 * take a share of them at random: near cold, that is local search. */
#define HOT_FRESH 0.015
#define HOT_KEPT 0.005
#define COLD 0.0001
/* Orders of the norm, as powers of two: the finer the parts, the more the largest load alone counts. */
#define COARSE_NORM 4
#define UNITS_NORM 6
#define CLOCK_STRIDE 256 /* moves between looks at the clock */
#define MOST_CLUSTER 64

struct level {
    struct he_nets nets;
    struct he_spread spread;
    uint32_t *of;     /* by task */
    uint32_t *coarse; /* by part: its part one level up; NULL on the topmost */
    uint32_t *best;   /* by part */
};

struct scatter {
    const struct he_problem *problem;
    const struct he_place_options *options;
    uint64_t deadline_ns;
    bool is_over;
    struct he_random random;
    struct he_units units;
    struct he_arena *arena; /* of the round */
    struct level levels[MOST_LEVELS];
    uint32_t level_count;
    double *load, *saved; /* by server */
    int squarings;        /* of loads: their norm is of order two to the power of this */
    uint32_t *elite[ELITE]; /* by unit */
    double elite_value[ELITE];
    uint32_t elite_count;
    uint32_t *seed, *best; /* by unit: what the contest brought, the best of all */
    double seed_value, best_value, epoch_value;
    double total_time;    /* of all units where they are quickest */
};

/* --- Annealing at one level --- */

struct energy {
    double norm, most;
};

static struct energy measure(const struct scatter *s, const double *load, double scale)
{
    struct energy e = { 0.0, 0.0 };
    double sum = 0.0;

    for (uint32_t k = 0; k < s->problem->server_count; k++) {
        double x = load[k] / scale;

        e.most = fmax(e.most, load[k]);
        for (int q = 0; q < s->squarings; q++)
            x *= x;
        sum += x;
    }
    for (int q = 0; q < s->squarings; q++)
        sum = sqrt(sum);
    e.norm = scale * sum;
    return e;
}

/* A part on the other end of some net of @part. */
static uint32_t neighbour(struct scatter *s, const struct he_nets *nets, uint32_t part)
{
    uint32_t degree = nets->at_start[part + 1] - nets->at_start[part], pick;
    const struct he_net *net;

    if (degree == 0)
        return part;
    net = &nets->nets[nets->at[nets->at_start[part] + he_random_below(&s->random, degree)]];
    pick = he_random_below(&s->random, net->count + 1);
    return pick == net->count ? net->home : nets->readers[net->first + pick];
}

static uint32_t choose_target(struct scatter *s, const struct level *l, uint32_t part)
{
    if (he_random_below(&s->random, 3)) {
        uint32_t device = l->spread.device[neighbour(s, &l->nets, part)];

        if (device != l->spread.device[part])
            return device;
    }
    return he_random_below(&s->random, s->problem->device_count);
}

static bool accepts(struct scatter *s, double was, double is, double temperature)
{
    return is <= was || he_random_unit(&s->random) < exp((was - is) / temperature);
}

/* Moves a part, and then others around it that are where it was. */
static bool move_cluster(struct scatter *s, struct level *l, uint32_t part, uint32_t to,
                         uint32_t size, double scale, double temperature, struct energy *now)
{
    struct he_spread *sp = &l->spread;
    uint32_t moved[MOST_CLUSTER], count = 0, from = sp->device[part], at = part;
    struct energy next;

    memcpy(s->saved, sp->load, s->problem->server_count * sizeof *s->saved);
    for (uint32_t k = 0; count < size && k < 3 * size; k++) {
        if (sp->device[at] == from) {
            if (!he_spread_has_room(sp, at, to))
                break;
            he_spread_try(sp, at, to, s->load);
            he_spread_move(sp, at, to, s->load);
            moved[count++] = at;
        }
        at = neighbour(s, &l->nets, moved[he_random_below(&s->random, count)]);
    }
    if (count == 0)
        return false;
    next = measure(s, sp->load, scale);
    if (accepts(s, now->norm, next.norm, temperature)) {
        *now = next;
        return true;
    }
    while (count > 0)
        he_spread_move(sp, moved[--count], from, s->saved);
    return false;
}

/* Two parts trade places. */
static bool move_pair(struct scatter *s, struct level *l, uint32_t a, uint32_t b, double scale,
                      double temperature, struct energy *now)
{
    struct he_spread *sp = &l->spread;
    uint32_t at_a = sp->device[a], at_b = sp->device[b];
    double more = l->nets.memory[b] - l->nets.memory[a];
    struct energy next;

    if (at_a == at_b || isinf(l->nets.time[(size_t)a * sp->device_count + at_b]) ||
        isinf(l->nets.time[(size_t)b * sp->device_count + at_a]) ||
        sp->memory[at_a] + more > sp->room[at_a] || sp->memory[at_b] - more > sp->room[at_b])
        return false;
    memcpy(s->saved, sp->load, s->problem->server_count * sizeof *s->saved);
    he_spread_try(sp, a, at_b, s->load);
    he_spread_move(sp, a, at_b, s->load);
    he_spread_try(sp, b, at_a, s->load);
    he_spread_move(sp, b, at_a, s->load);
    next = measure(s, sp->load, scale);
    if (accepts(s, now->norm, next.norm, temperature)) {
        *now = next;
        return true;
    }
    he_spread_move(sp, b, at_b, s->saved);
    he_spread_move(sp, a, at_a, s->saved);
    return false;
}

static bool move_one(struct scatter *s, struct level *l, uint32_t part, uint32_t to, double scale,
                     double temperature, struct energy *now)
{
    struct energy next;

    if (!he_spread_has_room(&l->spread, part, to))
        return false;
    he_spread_try(&l->spread, part, to, s->load);
    next = measure(s, s->load, scale);
    if (!accepts(s, now->norm, next.norm, temperature))
        return false;
    he_spread_move(&l->spread, part, to, s->load);
    *now = next;
    return true;
}

/* From where the spread is; l->best becomes the best state met. */
static double anneal(struct scatter *s, struct level *l, double moves, double hot, double cold)
{
    struct he_spread *sp = &l->spread;
    uint32_t parts = l->nets.part_count;
    double scale = he_spread_most(sp), temperature = 0.0, counted = 0.0, best;
    struct energy now;

    if (!s->deadline_ns)
        moves = fmin(moves, MOST_MOVES);
    s->squarings = l == s->levels ? UNITS_NORM : COARSE_NORM;
    memcpy(l->best, sp->device, parts * sizeof *l->best);
    if (!(scale > 0.0))
        return 0.0;
    now = measure(s, sp->load, scale);
    best = now.most;
    for (double k = 0.0; k < moves; k += 1.0) {
        uint32_t part = he_random_below(&s->random, parts), to, kind;
        bool has_moved;

        if (fmod(k, CLOCK_STRIDE) == 0.0) {
            if (s->deadline_ns && he_place_now_ns(s->options) >= s->deadline_ns) {
                s->is_over = true;
                break;
            }
            temperature = scale * hot * pow(cold / hot, k / moves) + 1e-300;
            /* Rounding must not add up; where counting takes long, it is done seldom. */
            if (k - counted >= l->nets.net_count + parts) {
                he_spread_set(sp, sp->device);
                now = measure(s, sp->load, scale);
                counted = k;
            }
        }
        kind = he_random_below(&s->random, 16);
        if (kind < 2) {
            has_moved = move_pair(s, l, part, he_random_below(&s->random, parts), scale,
                                  temperature, &now);
        } else {
            to = choose_target(s, l, part);
            if (to == sp->device[part])
                continue;
            if (kind < 10)
                has_moved = move_one(s, l, part, to, scale, temperature, &now);
            else
                has_moved = move_cluster(s, l, part, to,
                                         2 + he_random_below(&s->random, 2u << (kind - 10)), scale,
                                         temperature, &now);
        }
        if (has_moved && now.most < best * (1.0 - 1e-9)) {
            best = now.most;
            memcpy(l->best, sp->device, parts * sizeof *l->best);
        }
    }
    return best;
}

/* --- Levels --- */

static he_status add_level(struct scatter *s, const uint32_t *of, uint32_t parts)
{
    struct level *l = &s->levels[s->level_count];
    he_status status;

    *l = (struct level){ 0 };
    l->of = he_arena_copy(s->arena, of, s->problem->task_count * sizeof *of);
    l->best = he_arena_alloc(s->arena, parts, sizeof *l->best);
    if (!l->of || !l->best)
        return he_no_memory();
    status = he_nets_init(&l->nets, s->problem, l->of, parts, s->arena);
    if (status == HE_OK)
        status = he_spread_init(&l->spread, &l->nets, s->arena);
    if (status == HE_OK)
        s->level_count++;
    return status;
}

/* The neighbour that @part shares most with and that is still single; itself when there is none. With
 * @device, only neighbours on the same one. */
static uint32_t find_mate(struct scatter *s, const struct level *l, const bool *is_taken,
                          const uint32_t *device, uint32_t part, double most_time, double *rating)
{
    const struct he_nets *n = &l->nets;
    uint32_t best = part, d = s->problem->device_count;
    double most = 0.0, memory = INFINITY;

    for (uint32_t j = 0; j < d; j++)
        memory = fmin(memory, s->problem->weight_limit[j]);
    for (uint32_t i = n->at_start[part]; i < n->at_start[part + 1]; i++) {
        const struct he_net *net = &n->nets[n->at[i]];
        double seconds = 0.0;

        for (uint32_t j = 0; j < d; j++)
            seconds += l->spread.copy[(size_t)n->at[i] * d + j];
        for (uint32_t k = 0; k <= net->count && net->count <= 32; k++) {
            uint32_t other = k == net->count ? net->home : n->readers[net->first + k];

            if (other != part)
                rating[other] += seconds / net->count * (0.5 + he_random_unit(&s->random));
        }
    }
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = n->at_start[part]; i < n->at_start[part + 1]; i++) {
            const struct he_net *net = &n->nets[n->at[i]];

            for (uint32_t k = 0; k <= net->count && net->count <= 32; k++) {
                uint32_t other = k == net->count ? net->home : n->readers[net->first + k];
                double time = 0.0, value = rating[other];

                if (pass == 1) {
                    rating[other] = 0.0;
                    continue;
                }
                if (other == part || is_taken[other] || (device && device[other] != device[part]) ||
                    n->memory[part] + n->memory[other] > 0.5 * memory)
                    continue;
                for (uint32_t j = 0; j < d; j++) {
                    double both = n->time[(size_t)part * d + j] + n->time[(size_t)other * d + j];

                    time = j == 0 ? both : fmin(time, both);
                }
                if (time <= most_time && value > most) {
                    most = value;
                    best = other;
                }
            }
        }
    }
    return best;
}

/* One level more, of pairs; false in *is_smaller when hardly any pair is found. */
static he_status coarsen(struct scatter *s, const uint32_t *device, bool *is_smaller)
{
    struct level *l = &s->levels[s->level_count - 1];
    uint32_t parts = l->nets.part_count, count = 0;
    double most_time = s->total_time / s->problem->device_count * 0.6;
    bool *is_taken = he_arena_alloc(s->arena, parts, sizeof *is_taken);
    uint32_t *order = he_arena_alloc(s->arena, parts, sizeof *order);
    double *rating = he_arena_alloc(s->arena, parts, sizeof *rating);
    uint32_t *of = he_arena_alloc(s->arena, s->problem->task_count, sizeof *of);
    he_status status;

    *is_smaller = false;
    l->coarse = he_arena_alloc(s->arena, parts, sizeof *l->coarse);
    if (!is_taken || !order || !rating || !of || !l->coarse)
        return he_no_memory();
    for (uint32_t u = 0; u < parts; u++) {
        uint32_t k = he_random_below(&s->random, u + 1);

        order[u] = order[k];
        order[k] = u;
    }
    for (uint32_t k = 0; k < parts; k++) {
        uint32_t u = order[k], mate;

        if (is_taken[u])
            continue;
        is_taken[u] = true;
        mate = find_mate(s, l, is_taken, device, u, most_time, rating);
        is_taken[mate] = true;
        l->coarse[u] = l->coarse[mate] = count++;
    }
    if (count * 10 > parts * 9) {
        l->coarse = NULL;
        return HE_OK;
    }
    *is_smaller = true;
    for (uint32_t t = 0; t < s->problem->task_count; t++)
        of[t] = l->coarse[l->of[t]];
    status = add_level(s, of, count);
    return status;
}

/* Takes @device (of level @k) one level up. */
static void lift(const struct scatter *s, uint32_t k, const uint32_t *device, uint32_t *out)
{
    for (uint32_t u = 0; u < s->levels[k].nets.part_count; u++)
        out[s->levels[k].coarse[u]] = device[u];
}

/* Somewhere for every part of the topmost level; false when that fails. */
static bool scatter_parts(struct scatter *s, struct level *l)
{
    struct he_spread *sp = &l->spread;
    uint32_t d = s->problem->device_count;

    memset(sp->memory, 0, d * sizeof *sp->memory);
    for (uint32_t u = 0; u < l->nets.part_count; u++) {
        uint32_t first = he_random_below(&s->random, d), best = UINT32_MAX;

        /* The quicker of two, like a coin with a leaning. */
        for (uint32_t k = 0; k < d; k++) {
            uint32_t j = (first + k) % d;

            if (he_spread_has_room(sp, u, j) &&
                (best == UINT32_MAX || (k < 3 && l->nets.time[(size_t)u * d + j] <
                                                     l->nets.time[(size_t)u * d + best])))
                best = j;
        }
        if (best == UINT32_MAX)
            return false;
        sp->device[u] = best;
        sp->memory[best] += l->nets.memory[u];
    }
    return true;
}

/* --- Rounds --- */

static void keep(struct scatter *s, const uint32_t *device, double value)
{
    uint32_t at = s->elite_count, count = s->units.count;

    s->epoch_value = fmin(s->epoch_value, value);
    if (value < s->best_value) {
        s->best_value = value;
        memcpy(s->best, device, count * sizeof *device);
    }
    for (uint32_t k = 0; k < s->elite_count; k++) {
        if (fabs(s->elite_value[k] - value) <= 1e-9 * value)
            return;
    }
    if (s->elite_count < ELITE) {
        s->elite_count++;
    } else {
        at = 0;
        for (uint32_t k = 1; k < ELITE; k++) {
            if (s->elite_value[k] > s->elite_value[at])
                at = k;
        }
        if (value >= s->elite_value[at])
            return;
    }
    memcpy(s->elite[at], device, count * sizeof *device);
    s->elite_value[at] = value;
}

static uint32_t best_elite(const struct scatter *s)
{
    uint32_t best = 0;

    for (uint32_t k = 1; k < s->elite_count; k++) {
        if (s->elite_value[k] < s->elite_value[best])
            best = k;
    }
    return best;
}

static he_status run_round(struct scatter *s, uint32_t round)
{
    bool is_fresh = s->elite_count == 0 || (round < 8 ? round % 2 == 1 : round % 4 == 1);
    bool is_smaller = true;
    uint32_t from = is_fresh || round % 4 == 0 ? best_elite(s)
                                               : he_random_below(&s->random, s->elite_count);
    /* One move changes a small pipeline by much. */
    double few = fmax(1.0, pow(30.0 / s->units.count, 2.0));
    double heat = few * exp(-(is_fresh ? 1.2 : 3.0) * he_random_unit(&s->random));
    uint32_t least = s->problem->device_count * (2 + he_random_below(&s->random, 6));
    uint32_t *state = he_arena_alloc(s->arena, s->units.count, sizeof *state);
    double effort = MOVES * (1.0 + round / 8.0), value = INFINITY;
    he_status status = state ? HE_OK : he_no_memory();

    s->level_count = 0;
    if (status == HE_OK)
        status = add_level(s, s->units.of, s->units.count);
    if (status == HE_OK && !is_fresh)
        memcpy(state, s->elite[from], s->units.count * sizeof *state);
    while (status == HE_OK && is_smaller && s->level_count < MOST_LEVELS &&
           s->levels[s->level_count - 1].nets.part_count > least) {
        status = coarsen(s, is_fresh ? NULL : state, &is_smaller);
        if (status == HE_OK && is_smaller && !is_fresh) {
            uint32_t *up = he_arena_alloc(s->arena, s->units.count, sizeof *up);

            if (!up)
                return he_no_memory();
            lift(s, s->level_count - 2, state, up);
            state = up;
        }
    }
    if (status != HE_OK)
        return status;
    for (uint32_t k = s->level_count; k-- > 0 && !s->is_over;) {
        struct level *l = &s->levels[k];
        bool is_top = k + 1 == s->level_count;
        double hot = heat * (is_fresh ? HOT_FRESH : HOT_KEPT) * (is_top ? 1.0 : 0.25);

        if (is_top && is_fresh) {
            if (!scatter_parts(s, l))
                return HE_OK;
            he_spread_set(&l->spread, l->spread.device);
        } else if (is_top) {
            he_spread_set(&l->spread, state);
        } else {
            for (uint32_t u = 0; u < l->nets.part_count; u++)
                l->spread.device[u] = s->levels[k + 1].best[l->coarse[u]];
            he_spread_set(&l->spread, l->spread.device);
        }
        value = anneal(s, l, fmax(LEAST_MOVES, effort * l->nets.part_count * (is_top ? 4.0 : 1.0)),
                       hot, fmin(COLD, hot));
        /* Cut short: take what there is down to the units. */
        for (uint32_t i = k; s->is_over && i-- > 0;) {
            for (uint32_t u = 0; u < s->levels[i].nets.part_count; u++)
                s->levels[i].best[u] = s->levels[i + 1].best[s->levels[i].coarse[u]];
        }
    }
    keep(s, s->levels[0].best, value);
    return HE_OK;
}

/* Epochs: when nothing has come of it for a while, everything but the best is forgotten. The first
 * one and every other one start from what the contest brought. */
static he_status run_rounds(struct scatter *s)
{
    uint32_t epoch = 0, stale = 0, round = 0;
    he_status status = HE_OK;

    for (uint32_t done = 0; status == HE_OK && !s->is_over && (s->deadline_ns || done < ROUNDS);
         done++, round++) {
        double was = s->epoch_value;
        struct he_arena arena;

        he_arena_init(&arena, &s->problem->arena.alloc);
        s->arena = &arena;
        status = run_round(s, round);
        he_arena_fini(&arena);
        stale = s->epoch_value < was * (1.0 - 1e-9) ? 0 : stale + 1;
        if (stale > STALE + 8 * epoch) {
            epoch++;
            stale = round = 0;
            s->elite_count = 0;
            s->epoch_value = INFINITY;
            if (epoch % 2 == 0)
                keep(s, s->seed, s->seed_value);
        }
    }
    return status;
}

static he_status prepare(struct scatter *s, const struct he_contest *contest,
                         struct he_arena *arena)
{
    const struct he_problem *p = s->problem;
    he_status status = he_units_init(&s->units, p, arena);

    s->load = he_arena_alloc(arena, p->server_count, sizeof *s->load);
    s->saved = he_arena_alloc(arena, p->server_count, sizeof *s->saved);
    if (status == HE_OK && (!s->load || !s->saved))
        status = he_no_memory();
    for (int k = 0; k < ELITE && status == HE_OK; k++) {
        s->elite[k] = he_arena_alloc(arena, s->units.count, sizeof **s->elite);
        if (!s->elite[k])
            status = he_no_memory();
    }
    if (status != HE_OK)
        return status;
    s->seed = he_arena_alloc(arena, s->units.count, sizeof *s->seed);
    s->best = he_arena_alloc(arena, s->units.count, sizeof *s->best);
    if (!s->seed || !s->best)
        return he_no_memory();
    for (uint32_t t = 0; t < p->task_count; t++)
        s->seed[s->units.of[t]] = contest->device[t];
    s->seed_value = contest->value;
    s->best_value = s->epoch_value = INFINITY;
    keep(s, s->seed, s->seed_value);
    for (uint32_t u = 0; u < s->units.count; u++) {
        double least = INFINITY;

        for (uint32_t j = 0; j < p->device_count; j++)
            least = fmin(least, he_unit_time(&s->units, u, j));
        s->total_time += least;
    }
    return HE_OK;
}

he_status he_scatter_search(struct he_contest *contest, const struct he_problem *p,
                            const struct he_place_options *options)
{
    struct scatter s = { .problem = p, .options = options,
                         .deadline_ns = he_place_deadline(options),
                         .random = { options->seed ^ 0x73636174u } };
    struct he_arena scratch;
    struct he_placement answer = { 0 };
    he_status status;

    he_arena_init(&scratch, &p->arena.alloc);
    status = prepare(&s, contest, &scratch);
    if (status == HE_OK)
        status = run_rounds(&s);
    if (status == HE_OK)
        status = he_units_answer(&s.units, s.best, NULL, "throughput", &scratch,
                                 &answer);
    if (status == HE_OK)
        status = he_contest_enter_orders(contest, &answer);
    he_arena_fini(&scratch);
    return status;
}
