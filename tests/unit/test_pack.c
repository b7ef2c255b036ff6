/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packing of buffers: a table, random sets against a checker of their own, few buffers against all
 * orders, sets cut from a rectangle (their optimum is known), size and time.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/size.h"
#include "mem/pack.h"
#include "support/failing_alloc.h"

static const struct {
    const char *what;
    struct he_pack_item items[5];
    size_t count, total, bound;
} cases[] = {
    { "nothing needs nothing", { { 0 } }, 0, 0, 0 },
    { "one buffer is rounded up", { { 100, 0, 0, 0 } }, 1, 128, 128 },
    { "two that never meet share", { { 128, 0, 1, 0 }, { 64, 2, 3, 0 } }, 2, 128, 128 },
    { "two that meet at one step do not", { { 128, 0, 2, 0 }, { 64, 2, 3, 0 } }, 2, 192, 192 },
    { "an empty buffer needs no room", { { 0, 0, 9, 0 }, { 64, 0, 9, 0 } }, 2, 64, 64 },
    { "a chain ping-pongs",
      { { 64, 0, 1, 0 }, { 64, 1, 2, 0 }, { 64, 2, 3, 0 }, { 64, 3, 4, 0 } }, 4, 128, 128 },
    { "the last step of all counts", { { 64, UINT32_MAX, UINT32_MAX, 0 }, { 64, 0, UINT32_MAX, 0 } }, 2,
      128, 128 },
    /* By size first, the long thin one would sit on top of the large: time order does better,
     * or the other way round; the better one is kept. */
    { "whichever order is better",
      { { 192, 0, 0, 0 }, { 64, 0, 3, 0 }, { 128, 2, 5, 0 }, { 192, 5, 6, 0 }, { 64, 3, 5, 0 } }, 5,
      384, 384 },
};

START_TEST(packing_is_the_one_expected)
{
    struct he_pack_item items[5];
    size_t total, bound;

    memcpy(items, cases[_i].items, sizeof items);
    ck_assert_int_eq(he_pack(items, cases[_i].count, &he_allocator_default, &total, &bound), HE_OK);
    ck_assert_msg(total == cases[_i].total && bound == cases[_i].bound, "%s: %zu of %zu",
                  cases[_i].what, total, bound);
    ck_assert(he_pack_is_valid(items, cases[_i].count, 0));
}
END_TEST

START_TEST(overlaps_and_bad_alignment_are_seen)
{
    struct he_pack_item meet[] = { { 100, 0, 2, 0 }, { 100, 2, 4, 64 } };
    struct he_pack_item crooked[] = { { 100, 0, 2, 32 } };

    ck_assert(!he_pack_is_valid(meet, 2, 0));
    meet[1].offset = 128;
    ck_assert(he_pack_is_valid(meet, 2, 0));
    ck_assert(!he_pack_is_valid(crooked, 1, 0));
}
END_TEST

START_TEST(impossible_items_are_refused)
{
    struct he_pack_item dead[] = { { 64, 3, 2, 0 } };
    struct he_pack_item huge[] = { { SIZE_MAX - 10, 0, 0, 0 } };
    struct he_pack_item two[] = { { SIZE_MAX / 2 + 1, 0, 0, 0 }, { SIZE_MAX / 2 + 1, 1, 1, 0 } };
    size_t total, bound;

    ck_assert_int_eq(he_pack(dead, 1, &he_allocator_default, &total, &bound), HE_ERR_INVALID);
    ck_assert_int_eq(he_pack(huge, 1, &he_allocator_default, &total, &bound), HE_ERR_INVALID);
    ck_assert_int_eq(he_pack(two, 2, &he_allocator_default, &total, &bound), HE_ERR_INVALID);
    ck_assert_int_eq(he_pack(NULL, 2, &he_allocator_default, &total, &bound), HE_ERR_INVALID);
}
END_TEST

/* The peak of live bytes, computed step by step. */
static size_t plain_peak(const struct he_pack_item *items, size_t count, size_t alignment)
{
    size_t most = 0;

    for (size_t a = 0; a < count; a++) {
        size_t live = 0;

        for (size_t b = 0; b < count; b++) {
            if (items[b].first <= items[a].first && items[a].first <= items[b].last)
                live += he_size_align(items[b].bytes, alignment);
        }
        most = live > most ? live : most;
    }
    return most;
}

START_TEST(random_sets_are_packed_validly_and_near_the_bound)
{
    double worst = 1.0;

    srand(7);
    for (int round = 0; round < 300; round++) {
        size_t count = 1 + (size_t)(rand() % 60), total, bound, reached = 0;
        struct he_pack_item items[60];

        for (size_t k = 0; k < count; k++) {
            items[k].bytes = (size_t)(rand() % 5000);
            items[k].first = (uint32_t)(rand() % 50);
            items[k].last = items[k].first + (uint32_t)(rand() % 12);
            items[k].offset = 0;
        }
        ck_assert_int_eq(he_pack(items, count, &he_allocator_default, &total, &bound), HE_OK);
        ck_assert(he_pack_is_valid(items, count, 0));
        ck_assert_uint_ge(bound, plain_peak(items, count, HE_PACK_ALIGNMENT));
        ck_assert_uint_ge(total, bound);
        for (size_t k = 0; k < count; k++) {
            size_t end = items[k].offset + he_size_align(items[k].bytes, HE_PACK_ALIGNMENT);

            reached = items[k].bytes && end > reached ? end : reached;
        }
        ck_assert_uint_eq(reached, total);
        if (bound && (double)total / (double)bound > worst)
            worst = (double)total / (double)bound;
    }
    ck_assert_msg(worst < 1.2, "the worst packing is %.3f times the bound", worst);
}
END_TEST

START_TEST(thirty_thousand_buffers_are_packed_well)
{
    size_t count = 30000, total, bound;
    struct he_pack_item *items = calloc(count, sizeof *items);

    srand(11);
    for (size_t k = 0; k < count; k++) {
        items[k].bytes = (size_t)(rand() % 100000);
        items[k].first = (uint32_t)k;
        items[k].last = (uint32_t)k + 1 + (uint32_t)(rand() % (k % 50 == 0 ? 2000 : 6));
    }
    ck_assert_int_eq(he_pack(items, count, &he_allocator_default, &total, &bound), HE_OK);
    ck_assert(he_pack_is_valid(items, count, 0));
    ck_assert_uint_le(total, bound + bound / 4);
    free(items);
}
END_TEST

START_TEST(out_of_memory_is_reported_and_leaves_nothing_behind)
{
    static struct he_pack_item items[2000];
    he_status status = HE_ERR_NO_MEMORY;
    size_t total, bound;

    for (size_t k = 0; k < HE_COUNT(items); k++)
        items[k] = (struct he_pack_item){ 100, (uint32_t)k, (uint32_t)k + 1, 0 };
    for (size_t n = 0; status != HE_OK; n++) {
        struct failing_alloc failing;

        failing_alloc_init(&failing, n);
        status = he_pack(items, HE_COUNT(items), &failing.alloc, &total, &bound);
        ck_assert(status == HE_OK || status == HE_ERR_NO_MEMORY);
        ck_assert_uint_eq(failing.live, 0);
    }
}
END_TEST

/* --- The searches --- */

static const struct he_pack_options exact = { .alignment = 1 };

static void must(he_status status)
{
    ck_assert_msg(status == HE_OK, "%s", he_error_message());
}

static uint32_t pick(uint64_t *state, uint32_t count)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)((*state >> 33) % count);
}

static bool meet(const struct he_pack_item *a, const struct he_pack_item *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The smallest total of all: some order leads first fit to it. */
#define FEW 8
static size_t smallest_total(struct he_pack_item *items, size_t count, size_t placed, bool *is_in,
                             const bool (*meets)[FEW])
{
    size_t best = SIZE_MAX, total = 0;

    if (placed == count) {
        for (size_t k = 0; k < count; k++)
            total = items[k].offset + items[k].bytes > total ? items[k].offset + items[k].bytes
                                                             : total;
        return total;
    }
    for (size_t k = 0; k < count; k++) {
        size_t offset = 0;

        if (is_in[k])
            continue;
        for (size_t again = 0; again < count; again++) {
            for (size_t other = 0; other < count; other++) {
                if (is_in[other] && meets[k][other] &&
                    items[other].offset < offset + items[k].bytes &&
                    offset < items[other].offset + items[other].bytes)
                    offset = items[other].offset + items[other].bytes;
            }
        }
        items[k].offset = offset;
        is_in[k] = true;
        total = smallest_total(items, count, placed + 1, is_in, meets);
        best = total < best ? total : best;
        is_in[k] = false;
    }
    return best;
}

/* Packs @items and compares with all orders; true when the optimum is above the peak. */
static bool compare_with_all_orders(struct he_pack_item *items, size_t count)
{
    struct he_pack_item tried[FEW];
    struct he_pack_result result;
    bool is_in[FEW] = { false }, meets[FEW][FEW];
    size_t optimum;

    for (size_t k = 0; k < count * count; k++)
        meets[k / count][k % count] = meet(&items[k / count], &items[k % count]);
    memcpy(tried, items, count * sizeof *tried);
    optimum = smallest_total(tried, count, 0, is_in, (const bool (*)[FEW])meets);
    must(he_pack_within(items, count, &exact, &he_allocator_default, &result));
    ck_assert(he_pack_is_valid(items, count, 1));
    ck_assert_uint_eq(result.total_bytes, optimum);
    ck_assert_uint_eq(result.lower_bound, optimum);
    ck_assert(result.is_optimal);
    return optimum > plain_peak(items, count, 1);
}

START_TEST(few_buffers_are_packed_as_tightly_as_any_order_does)
{
    uint64_t state = 3;

    for (int round = 0; round < 1000; round++) {
        size_t count = 1 + pick(&state, FEW - 2);
        struct he_pack_item items[FEW];

        for (size_t k = 0; k < count; k++) {
            items[k] = (struct he_pack_item){ .bytes = 1 + pick(&state, 12) };
            items[k].first = pick(&state, 8);
            items[k].last = items[k].first + pick(&state, 4);
        }
        compare_with_all_orders(items, count);
    }
}
END_TEST

/* Four units live at any time, and yet they need five. */
static const struct he_pack_item with_a_gap[FEW] = {
    { 2, 0, 0, 0 }, { 2, 0, 2, 0 }, { 1, 1, 4, 0 }, { 1, 1, 3, 0 },
    { 1, 3, 4, 0 }, { 1, 3, 3, 0 }, { 2, 4, 5, 0 }, { 2, 5, 5, 0 },
};

START_TEST(where_the_peak_cannot_be_reached_the_optimum_is_proven)
{
    uint64_t state = 19;
    unsigned above_peak = 0;

    for (int round = 0; round < 20; round++) {
        struct he_pack_item items[FEW];

        for (size_t k = 0; k < FEW; k++) {
            items[k] = with_a_gap[k];
            items[k].bytes = items[k].bytes * 20 + (round > 0 ? pick(&state, 3) : 0);
        }
        above_peak += compare_with_all_orders(items, FEW);
    }
    ck_assert_msg(above_peak > 10, "only %u of 20 are above their peak", above_peak);
}
END_TEST

START_TEST(one_part_above_its_peak_is_the_bound_of_all)
{
    struct he_pack_item items[4 * FEW];
    struct he_pack_result result;

    for (uint32_t k = 0; k < HE_COUNT(items); k++) {
        items[k] = with_a_gap[k % FEW];
        items[k].first += 6 * (k / FEW);
        items[k].last += 6 * (k / FEW);
    }
    must(he_pack_within(items, HE_COUNT(items), &exact, &he_allocator_default, &result));
    ck_assert(he_pack_is_valid(items, HE_COUNT(items), 1));
    ck_assert_uint_eq(result.total_bytes, 5);
    ck_assert_uint_eq(result.lower_bound, 5);
}
END_TEST

/* Cuts a rectangle of @steps times @bytes into @count pieces at random: they fit into @bytes
 * and leave no gap. */
static void cut_rectangle(struct he_pack_item *items, size_t count, uint32_t steps, size_t bytes,
                          uint64_t *state)
{
    items[0] = (struct he_pack_item){ bytes, 0, steps - 1, 0 };
    for (size_t have = 1; have < count;) {
        struct he_pack_item *item = &items[pick(state, (uint32_t)have)], *other = &items[have];

        *other = *item;
        if (pick(state, 2)) {
            if (item->last == item->first)
                continue;
            other->first = item->first + 1 + pick(state, item->last - item->first);
            item->last = other->first - 1;
        } else {
            if (item->bytes < 2)
                continue;
            other->bytes = 1 + pick(state, (uint32_t)item->bytes - 1);
            item->bytes -= other->bytes;
        }
        have++;
    }
}

START_TEST(sets_without_gaps_are_packed_without_gaps)
{
    uint64_t state = (uint64_t)_i;
    struct he_pack_item items[60];
    struct he_pack_result result;

    cut_rectangle(items, 60, 300, 5000, &state);
    must(he_pack_within(items, 60, &exact, &he_allocator_default, &result));
    ck_assert(he_pack_is_valid(items, 60, 1));
    ck_assert_uint_eq(result.lower_bound, 5000);
    ck_assert_uint_eq(result.total_bytes, 5000);
}
END_TEST

START_TEST(greedy_orders_alone_leave_gaps)
{
    struct he_pack_options greedy = { .alignment = 1, .is_greedy = true };
    unsigned gaps = 0;

    for (uint64_t seed = 0; seed < 20; seed++) {
        uint64_t state = seed;
        struct he_pack_item items[60];
        struct he_pack_result result;

        cut_rectangle(items, 60, 300, 5000, &state);
        must(he_pack_within(items, 60, &greedy, &he_allocator_default, &result));
        ck_assert(he_pack_is_valid(items, 60, 1));
        gaps += result.total_bytes > 5000;
    }
    ck_assert_msg(gaps > 5, "the sets of the test above are too easy: %u", gaps);
}
END_TEST

START_TEST(a_capacity_is_enough)
{
    struct he_pack_options options = { .alignment = 1, .capacity = 5600 };
    uint64_t state = 5;
    struct he_pack_item items[100];
    struct he_pack_result result;

    cut_rectangle(items, 100, 300, 5000, &state);
    must(he_pack_within(items, 100, &options, &he_allocator_default, &result));
    ck_assert(he_pack_is_valid(items, 100, 1));
    ck_assert_uint_le(result.total_bytes, 5600);
    ck_assert_uint_eq(result.lower_bound, 5000);
}
END_TEST

START_TEST(the_same_seed_gives_the_same_packing)
{
    static struct he_pack_item items[2][250];
    struct he_pack_result results[2];
    uint64_t state = 11;

    cut_rectangle(items[0], 250, 100, 1000000, &state);
    memcpy(items[1], items[0], sizeof items[1]);
    for (int k = 0; k < 2; k++)
        must(he_pack_within(items[k], 250, &exact, &he_allocator_default, &results[k]));
    ck_assert_mem_eq(items[0], items[1], sizeof items[0]);
    ck_assert_uint_eq(results[0].total_bytes, results[1].total_bytes);
}
END_TEST

/* Without its limit the search would take hours; the case's time-out is the limit's test. */
START_TEST(a_search_ends_with_its_time)
{
    struct he_pack_options options = { .alignment = 1, .time_limit = 0.1, .counts_cpu_time = true };
    static struct he_pack_item items[1500];
    struct he_pack_result result;
    uint64_t state = 13;

    cut_rectangle(items, HE_COUNT(items), 1000, 1u << 30, &state);
    must(he_pack_within(items, HE_COUNT(items), &options, &he_allocator_default, &result));
    ck_assert(he_pack_is_valid(items, HE_COUNT(items), 1));
    ck_assert_uint_ge(result.total_bytes, 1u << 30);
}
END_TEST

START_TEST(a_search_out_of_memory_leaves_nothing_behind)
{
    he_status status = HE_ERR_NO_MEMORY;
    struct he_pack_item items[60];
    struct he_pack_options greedy = { .alignment = 1, .is_greedy = true };
    struct he_pack_result easy = { 0 };
    size_t n;

    for (uint64_t seed = 1; easy.total_bytes <= 5000; seed++) {
        uint64_t state = seed;

        cut_rectangle(items, 60, 300, 5000, &state);
        must(he_pack_within(items, 60, &greedy, &he_allocator_default, &easy));
    }
    for (n = 0; status != HE_OK; n++) {
        struct failing_alloc failing;
        struct he_pack_result result;

        failing_alloc_init(&failing, n);
        status = he_pack_within(items, 60, &exact, &failing.alloc, &result);
        ck_assert(status == HE_OK || status == HE_ERR_NO_MEMORY);
        ck_assert_uint_eq(failing.live, 0);
        ck_assert_uint_eq(result.total_bytes > 0, status == HE_OK);
    }
    ck_assert_msg(n > 8, "the search was not reached: %zu allocations", n);
}
END_TEST

START_TEST(odd_alignments_are_refused)
{
    struct he_pack_item item = { 10, 0, 0, 0 };
    struct he_pack_options options = { .alignment = 48 };
    struct he_pack_result result;

    ck_assert_int_eq(he_pack_within(&item, 1, &options, &he_allocator_default, &result),
                     HE_ERR_INVALID);
    options.alignment = 4096;
    must(he_pack_within(&item, 1, &options, &he_allocator_default, &result));
    ck_assert_uint_eq(result.total_bytes, 4096);
}
END_TEST

/* --- Pairs --- */

/* Lists of the pairs that @meets says. */
static struct he_pack_graph make_graph(size_t count, const bool (*meets)[FEW], size_t *begin,
                                       uint32_t *near)
{
    begin[0] = 0;
    for (size_t k = 0; k < count; k++) {
        begin[k + 1] = begin[k];
        for (size_t other = 0; other < count; other++) {
            if (other != k && meets[k][other])
                near[begin[k + 1]++] = (uint32_t)other;
        }
    }
    return (struct he_pack_graph){ begin, near };
}

START_TEST(pairs_that_meet_lie_apart_and_nearly_as_tightly_as_any_order_does)
{
    uint64_t state = 17;
    unsigned worse = 0;

    for (int round = 0; round < 400; round++) {
        size_t count = 1 + pick(&state, FEW - 1), optimum, begin[FEW + 1];
        struct he_pack_item items[FEW], tried[FEW];
        struct he_pack_options options = { .alignment = 1 };
        struct he_pack_graph graph;
        struct he_pack_result result;
        bool is_in[FEW] = { false }, meets[FEW][FEW] = { { false } };
        uint32_t near[FEW * FEW];

        for (size_t k = 0; k < count; k++) {
            items[k] = (struct he_pack_item){ .bytes = pick(&state, 12) };
            for (size_t other = 0; other < k; other++)
                meets[k][other] = meets[other][k] = pick(&state, 2);
        }
        graph = make_graph(count, (const bool (*)[FEW])meets, begin, near);
        memcpy(tried, items, sizeof tried);
        optimum = smallest_total(tried, count, 0, is_in, (const bool (*)[FEW])meets);
        options.capacity = optimum;
        must(he_pack_pairs(items, count, &graph, 0, &options, &he_allocator_default, &result));
        ck_assert_uint_ge(result.total_bytes, optimum);
        worse += result.total_bytes > optimum;
        for (size_t a = 0; a < count; a++) {
            ck_assert_uint_le(items[a].offset + items[a].bytes, result.total_bytes);
            for (size_t b = 0; b < a; b++)
                ck_assert(!meets[a][b] || !items[a].bytes || !items[b].bytes ||
                          items[a].offset >= items[b].offset + items[b].bytes ||
                          items[b].offset >= items[a].offset + items[a].bytes);
        }
    }
    ck_assert_msg(worse == 0, "%u of 400 are larger than they need be", worse);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pack");
    TCase *tc = tcase_create("pack");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, packing_is_the_one_expected, 0, HE_COUNT(cases));
    tcase_add_test(tc, overlaps_and_bad_alignment_are_seen);
    tcase_add_test(tc, impossible_items_are_refused);
    tcase_add_test(tc, random_sets_are_packed_validly_and_near_the_bound);
    tcase_add_test(tc, thirty_thousand_buffers_are_packed_well);
    tcase_add_test(tc, out_of_memory_is_reported_and_leaves_nothing_behind);
    tcase_add_test(tc, few_buffers_are_packed_as_tightly_as_any_order_does);
    tcase_add_test(tc, where_the_peak_cannot_be_reached_the_optimum_is_proven);
    tcase_add_test(tc, one_part_above_its_peak_is_the_bound_of_all);
    tcase_add_loop_test(tc, sets_without_gaps_are_packed_without_gaps, 0, 20);
    tcase_add_test(tc, greedy_orders_alone_leave_gaps);
    tcase_add_test(tc, a_capacity_is_enough);
    tcase_add_test(tc, the_same_seed_gives_the_same_packing);
    tcase_add_test(tc, a_search_ends_with_its_time);
    tcase_add_test(tc, a_search_out_of_memory_leaves_nothing_behind);
    tcase_add_test(tc, odd_alignments_are_refused);
    tcase_add_test(tc, pairs_that_meet_lie_apart_and_nearly_as_tightly_as_any_order_does);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
