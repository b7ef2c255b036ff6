/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multipliers for the rows: the Lagrangian dual of an assignment within limits,
 *
 *   L(y) = sum over units of min over devices (cost + y * amounts) - y * limits,  y >= 0,
 *
 * whose maximum is the bound of the linear programme. L has kinks where subgradient steps
 * get stuck for long; so the minimum is smoothed to -mu log sum exp(-x / mu), with a barrier mu log y,
 * and mu lowered: few Newton steps each, as in an interior point method. There is one unknown per row,
 * the Hessian is dense but small. Rows are scaled to a limit of 1. What counts as the
 * bound is L itself, at the best multipliers met. Rows of servers have no limit: their y add up to
 * the share, which the steps keep.
 */
#include <string.h>

#include "core/size.h"
#include "rows.h"

/* Choices dearer than the cheapest by so many mu do not count. */
#define FAR 16.0
#define MOST_ROWS 384u
#define SHRINK 0.35
#define LAST 2e-4

struct dual {
    const struct he_rows *rows;
    const double *cost;
    uint32_t stride;                                /* every how manieth unit is looked at */
    double weight;                                  /* of each of those */
    double *scale;                                  /* by row: 1 / limit */
    double *y, *tried, *gradient, *ignored, *step;  /* by row; y is scaled */
    double *along;                                  /* by row: the step of the servers' sum */
    double *hessian;                                /* [row * row_count + row] */
    double *chance, *expected;                      /* by device; by row */
    uint32_t *support, *touched;                    /* devices; rows of one unit */
    double *best;
    double bound;
};

/* Adds one unit to value, bound, gradient and (when not NULL) Hessian. */
static void add_unit(struct dual *t, uint32_t unit, const double *y, double mu, double *value,
                     double *bound, double *gradient, double *hessian)
{
    const struct he_rows *rows = t->rows;
    uint32_t d = rows->device_count, slots = rows->slot_count, n = rows->row_count;
    uint32_t count = 0, touched_count = 0;
    double least = INFINITY, sum = 0.0;

    for (uint32_t j = 0; j < d; j++) {
        const double *amounts = he_rows_amounts(rows, unit, j);
        double priced = t->cost ? t->cost[(size_t)unit * d + j] : 0.0;

        for (uint32_t k = 0; k < slots && !isinf(priced); k++) {
            uint32_t row = rows->row[j * slots + k];

            if (row != HE_NO_ROW)
                priced += y[row] * t->scale[row] * amounts[k];
        }
        t->chance[j] = priced;
        least = fmin(least, priced);
    }
    if (isinf(least))
        return;
    for (uint32_t j = 0; j < d; j++) {
        double far = (t->chance[j] - least) / mu;

        if (!(far < FAR))
            continue;
        t->chance[j] = exp(-far);
        sum += t->chance[j];
        t->support[count++] = j;
    }
    *bound += t->weight * least;
    *value += t->weight * (least - mu * log(sum));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t j = t->support[i];
        const double *amounts = he_rows_amounts(rows, unit, j);
        double chance = t->weight * t->chance[j] / sum;

        for (uint32_t k = 0; k < slots; k++) {
            uint32_t row = rows->row[j * slots + k];
            double amount;

            if (row == HE_NO_ROW || amounts[k] == 0.0)
                continue;
            amount = t->scale[row] * amounts[k];
            gradient[row] += chance * amount;
            if (!hessian)
                continue;
            if (t->expected[row] == 0.0)
                t->touched[touched_count++] = row;
            t->expected[row] += chance * amount;
            for (uint32_t l = 0; l < slots; l++) {
                uint32_t other = rows->row[j * slots + l];

                if (other != HE_NO_ROW)
                    hessian[(size_t)row * n + other] +=
                        chance * amount * t->scale[other] * amounts[l] / mu;
            }
        }
    }
    for (uint32_t a = 0; a < touched_count; a++) {
        double share = t->expected[t->touched[a]] / (t->weight * mu);

        for (uint32_t b = 0; b < touched_count; b++)
            hessian[(size_t)t->touched[a] * n + t->touched[b]] -= share * t->expected[t->touched[b]];
    }
    for (uint32_t a = 0; a < touched_count; a++)
        t->expected[t->touched[a]] = 0.0;
}

/* The smoothed value at @y; what is left of the rows' limits is minus the gradient. */
static double look(struct dual *t, const double *y, double mu, double *gradient, double *hessian)
{
    uint32_t n = t->rows->row_count;
    double value = 0.0, bound = 0.0;

    for (uint32_t r = 0; r < n; r++) {
        double limit = r < t->rows->server_rows ? 0.0 : 1.0;

        gradient[r] = -limit;
        value += mu * log(y[r]) - limit * y[r];
        bound -= limit * y[r];
    }
    if (hessian)
        memset(hessian, 0, (size_t)n * n * sizeof *hessian);
    for (uint32_t u = 0; u < t->rows->unit_count; u += t->stride)
        add_unit(t, u, y, mu, &value, &bound, gradient, hessian);
    for (uint32_t r = 0; r < n; r++)
        gradient[r] += mu / y[r];
    if (hessian) {
        for (uint32_t r = 0; r < n; r++)
            hessian[(size_t)r * n + r] += mu / (y[r] * y[r]);
    }
    if (bound > t->bound) {
        t->bound = bound;
        memcpy(t->best, y, n * sizeof *t->best);
    }
    return value;
}

/* Solves H x = b with the factor that factorise() leaves. */
static void solve(const double *h, uint32_t n, const double *b, double *x)
{
    for (uint32_t j = 0; j < n; j++) {
        x[j] = b[j];
        for (uint32_t i = 0; i < j; i++)
            x[j] -= h[(size_t)j * n + i] * x[i];
        x[j] /= h[(size_t)j * n + j];
    }
    for (uint32_t j = n; j-- > 0;) {
        for (uint32_t i = j + 1; i < n; i++)
            x[j] -= h[(size_t)i * n + j] * x[i];
        x[j] /= h[(size_t)j * n + j];
    }
}

/* Cholesky, in place. */
static void factorise(double *h, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++) {
        double *row = h + (size_t)j * n;

        for (uint32_t k = 0; k <= j; k++) {
            const double *other = h + (size_t)k * n;
            double sum = row[k];

            for (uint32_t i = 0; i < k; i++)
                sum -= row[i] * other[i];
            /* Rounding can take a pivot to nothing: such a row hardly moves. */
            row[k] = k < j ? sum / other[k] : sqrt(fmax(sum, 1e-12 * (1.0 + fabs(row[j]))));
        }
    }
}

/* The step that the gradient and the (negated) Hessian ask for; servers' steps add up to 0. */
static void newton(struct dual *t)
{
    uint32_t n = t->rows->row_count, servers = t->rows->server_rows;
    double moved = 0.0, way = 0.0;

    factorise(t->hessian, n);
    solve(t->hessian, n, t->gradient, t->step);
    if (servers == 0)
        return;
    for (uint32_t r = 0; r < n; r++)
        t->ignored[r] = r < servers ? 1.0 : 0.0;
    solve(t->hessian, n, t->ignored, t->along);
    for (uint32_t r = 0; r < servers; r++) {
        moved += t->step[r];
        way += t->along[r];
    }
    for (uint32_t r = 0; r < n; r++)
        t->step[r] -= moved / way * t->along[r];
}

/* Goes along the step as far as it pays. Gives what the step promised. */
static double advance(struct dual *t, double mu, double value)
{
    uint32_t n = t->rows->row_count;
    double promised = 0.0, length = 1.0;

    for (uint32_t r = 0; r < n; r++) {
        promised += t->gradient[r] * t->step[r];
        if (t->step[r] < 0.0)
            length = fmin(length, -0.9 * t->y[r] / t->step[r]);
    }
    for (int attempt = 0; attempt < 12; attempt++) {
        for (uint32_t r = 0; r < n; r++)
            t->tried[r] = t->y[r] + length * t->step[r];
        if (look(t, t->tried, mu, t->ignored, NULL) >=
            value + 0.1 * length * promised - 1e-9 * fabs(value))
            break;
        length *= 0.4;
    }
    memcpy(t->y, t->tried, n * sizeof *t->y);
    return promised;
}

/* What @unit costs on @device, servers' times at even prices included. */
static double even_price(const struct dual *t, uint32_t unit, uint32_t device)
{
    const struct he_rows *rows = t->rows;
    double price = t->cost ? t->cost[(size_t)unit * rows->device_count + device] : 0.0;

    if (rows->server_rows)
        price += rows->share / rows->server_rows * he_rows_amounts(rows, unit, device)[0];
    return price;
}

/* How far the costs of one unit lie apart, on average: the size of multipliers and mu. */
static double spread_of(const struct dual *t)
{
    uint32_t d = t->rows->device_count;
    double sum = 0.0, size = 0.0;
    size_t count = 0;

    for (uint32_t u = 0; u < t->rows->unit_count; u += t->stride) {
        double least = INFINITY;

        for (uint32_t j = 0; j < d; j++)
            least = fmin(least, even_price(t, u, j));
        for (uint32_t j = 0; j < d; j++) {
            double price = even_price(t, u, j);

            if (isinf(price))
                continue;
            sum += price - least;
            size += fabs(price);
            count++;
        }
    }
    if (count == 0)
        return 1.0;
    return sum > 0.0 ? sum / (double)count : size > 0.0 ? size / (double)count : 1.0;
}

/* Where to begin: a row's whole limit is worth as many spreads as units of mean size fit in it. */
static void begin(struct dual *t, double spread)
{
    const struct he_rows *rows = t->rows;
    uint32_t d = rows->device_count, slots = rows->slot_count;

    for (uint32_t r = 0; r < rows->row_count; r++)
        t->gradient[r] = t->ignored[r] = 0.0;
    for (uint32_t u = 0; u < rows->unit_count; u += t->stride) {
        for (uint32_t j = 0; j < d; j++) {
            const double *amounts = he_rows_amounts(rows, u, j);

            for (uint32_t k = 0; k < slots; k++) {
                uint32_t row = rows->row[j * slots + k];

                if (row == HE_NO_ROW || !(amounts[k] > 0.0) || isinf(amounts[k]))
                    continue;
                t->gradient[row] += t->scale[row] * amounts[k];
                t->ignored[row]++;
            }
        }
    }
    for (uint32_t r = 0; r < rows->row_count; r++) {
        t->y[r] = t->gradient[r] > 0.0 ? spread * t->ignored[r] / t->gradient[r] : spread;
        if (r < rows->server_rows)
            t->y[r] = rows->share / rows->server_rows;
    }
}

static bool is_late(const struct he_place_options *options, uint64_t deadline_ns)
{
    return deadline_ns && he_place_now_ns(options) > deadline_ns;
}

static void ascend(struct dual *t, uint32_t steps, const struct he_place_options *options,
                   uint64_t deadline_ns)
{
    double spread = spread_of(t), mu = 0.3 * spread;

    begin(t, spread);
    for (uint32_t done = 0; done < steps && mu > LAST * spread * SHRINK; mu *= SHRINK) {
        for (int inner = 0; inner < 8 && done < steps; inner++) {
            double value;

            if (is_late(options, deadline_ns))
                return;
            value = look(t, t->y, mu, t->gradient, t->hessian);
            newton(t);
            done++;
            if (!(advance(t, mu, value) > 0.5 * mu))
                break;
        }
    }
}

double he_rows_bound(const struct he_rows *rows, const double *cost, const double *multipliers)
{
    uint32_t d = rows->device_count, slots = rows->slot_count;
    double bound = 0.0, size = 0.0;

    for (uint32_t r = rows->server_rows; r < rows->row_count; r++)
        bound -= multipliers[r] * rows->limit[r] * (1.0 + 1e-12);
    size = -bound;
    for (uint32_t u = 0; u < rows->unit_count; u++) {
        double least = INFINITY;

        for (uint32_t j = 0; j < d; j++) {
            const double *amounts = he_rows_amounts(rows, u, j);
            double priced = cost ? cost[(size_t)u * d + j] : 0.0;

            for (uint32_t k = 0; k < slots && !isinf(priced); k++) {
                uint32_t row = rows->row[j * slots + k];

                if (row != HE_NO_ROW)
                    priced += multipliers[row] * amounts[k];
            }
            least = fmin(least, priced);
        }
        bound += least;
        size += fabs(least);
    }
    /* Rounding must not make it too large. */
    return isinf(bound) ? bound : bound - 1e-12 * size;
}

static he_status reserve(struct dual *t, struct he_arena *arena)
{
    size_t n = t->rows->row_count, d = t->rows->device_count;

    t->scale = he_arena_alloc(arena, n, sizeof(double));
    t->y = he_arena_alloc(arena, n, sizeof(double));
    t->tried = he_arena_alloc(arena, n, sizeof(double));
    t->gradient = he_arena_alloc(arena, n, sizeof(double));
    t->ignored = he_arena_alloc(arena, n, sizeof(double));
    t->step = he_arena_alloc(arena, n, sizeof(double));
    t->hessian = he_arena_alloc(arena, n, n * sizeof(double));
    t->chance = he_arena_alloc(arena, d, sizeof(double));
    t->expected = he_arena_alloc(arena, n, sizeof(double));
    t->support = he_arena_alloc(arena, d, sizeof(uint32_t));
    t->touched = he_arena_alloc(arena, n, sizeof(uint32_t));
    t->best = he_arena_alloc(arena, n, sizeof(double));
    t->along = he_arena_alloc(arena, n, sizeof(double));
    if (!t->scale || !t->y || !t->tried || !t->gradient || !t->ignored || !t->step ||
        !t->hessian || !t->chance || !t->expected || !t->support || !t->touched || !t->best ||
        !t->along)
        return he_no_memory();
    for (size_t r = 0; r < n; r++)
        t->scale[r] = t->rows->limit[r] > 0.0 && !isinf(t->rows->limit[r]) ? 1.0 / t->rows->limit[r]
                                                                          : 1.0;
    return HE_OK;
}

/* Servers' prices that add up to the share, whatever rounding did. */
static void normalise(const struct he_rows *rows, double *multipliers)
{
    double sum = 0.0;

    for (uint32_t r = 0; r < rows->server_rows; r++)
        sum += multipliers[r];
    for (uint32_t r = 0; r < rows->server_rows; r++)
        multipliers[r] *= rows->share / sum * (1.0 - 1e-12);
}

he_status he_rows_dual(const struct he_rows *rows, const double *cost, uint32_t steps, double cells,
                       const struct he_place_options *options, uint64_t deadline_ns,
                       double *multipliers, double *bound)
{
    struct dual t = { .rows = rows, .cost = cost, .stride = 1, .bound = -INFINITY };
    double all = (double)rows->unit_count * rows->device_count, found;
    struct he_arena arena;
    he_status status;

    memset(multipliers, 0, rows->row_count * sizeof *multipliers);
    for (uint32_t r = 0; r < rows->server_rows; r++)
        multipliers[r] = rows->share / rows->server_rows * (1.0 - 1e-12);
    if (bound)
        *bound = he_rows_bound(rows, cost, multipliers);
    if (rows->row_count == 0 || rows->row_count > MOST_ROWS || rows->unit_count == 0 ||
        (bound && isinf(*bound)))
        return HE_OK;
    he_arena_init(&arena, &rows->units->problem->arena.alloc);
    /* A sample of the units finds nearly the same multipliers. */
    if (all > cells)
        t.stride = (uint32_t)ceil(all / cells);
    t.weight = (double)rows->unit_count / ceil((double)rows->unit_count / t.stride);
    status = reserve(&t, &arena);
    if (status == HE_OK)
        ascend(&t, steps, options, deadline_ns);
    if (status == HE_OK && t.bound > -INFINITY) {
        for (uint32_t r = 0; r < rows->row_count; r++)
            t.best[r] *= t.scale[r];
        if (rows->server_rows)
            normalise(rows, t.best);
        found = bound ? he_rows_bound(rows, cost, t.best) : INFINITY;
        if (!bound || found > *bound) {
            if (bound)
                *bound = found;
            memcpy(multipliers, t.best, rows->row_count * sizeof *multipliers);
        }
    }
    he_arena_fini(&arena);
    return status;
}
