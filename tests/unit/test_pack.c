/* SPDX-License-Identifier: Apache-2.0 */
/* Packing of buffers: a table, random sets against a checker of their own, size and time. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/size.h"
#include "mem/pack.h"

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
static size_t peak(const struct he_pack_item *items, size_t count)
{
    size_t most = 0;

    for (size_t a = 0; a < count; a++) {
        size_t live = 0;

        for (size_t b = 0; b < count; b++) {
            if (items[b].first <= items[a].first && items[a].first <= items[b].last)
                live += he_size_align(items[b].bytes, HE_PACK_ALIGNMENT);
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
        ck_assert_uint_eq(bound, peak(items, count));
        ck_assert_uint_ge(total, bound);
        for (size_t k = 0; k < count; k++) {
            size_t end = items[k].offset + he_size_align(items[k].bytes, HE_PACK_ALIGNMENT);

            reached = items[k].bytes && end > reached ? end : reached;
        }
        ck_assert_uint_eq(reached, total);
        if (bound && (double)total / (double)bound > worst)
            worst = (double)total / (double)bound;
    }
    ck_assert_msg(worst < 1.5, "the worst packing is %.3f times the bound", worst);
}
END_TEST

START_TEST(thirty_thousand_buffers_take_little_time)
{
    size_t count = 30000, total, bound;
    struct he_pack_item *items = calloc(count, sizeof *items);
    uint64_t begin;
    double seconds;

    srand(11);
    for (size_t k = 0; k < count; k++) {
        items[k].bytes = (size_t)(rand() % 100000);
        items[k].first = (uint32_t)k;
        items[k].last = (uint32_t)k + 1 + (uint32_t)(rand() % (k % 50 == 0 ? 2000 : 6));
    }
    begin = he_now_ns();
    ck_assert_int_eq(he_pack(items, count, &he_allocator_default, &total, &bound), HE_OK);
    seconds = (double)(he_now_ns() - begin) * 1e-9;
    ck_assert(he_pack_is_valid(items, count, 0));
    ck_assert_msg(seconds < 10.0, "it took %.1f s", seconds);
    ck_assert_uint_le(total, bound + bound / 4);
    free(items);
}
END_TEST

static size_t left, alive;

static void *failing_alloc(void *self, size_t size)
{
    (void)self;
    if (left == 0)
        return NULL;
    left--;
    alive++;
    return malloc(size);
}

static void failing_free(void *self, void *memory)
{
    (void)self;
    alive -= memory != NULL;
    free(memory);
}

START_TEST(out_of_memory_is_reported_and_leaves_nothing_behind)
{
    struct he_allocator alloc = { failing_alloc, failing_free, NULL };
    static struct he_pack_item items[2000];
    he_status status = HE_ERR_NO_MEMORY;
    size_t total, bound;

    for (size_t k = 0; k < HE_COUNT(items); k++)
        items[k] = (struct he_pack_item){ 100, (uint32_t)k, (uint32_t)k + 1, 0 };
    for (size_t limit = 0; status != HE_OK; limit++) {
        left = limit;
        status = he_pack(items, HE_COUNT(items), &alloc, &total, &bound);
        ck_assert(status == HE_OK || status == HE_ERR_NO_MEMORY);
        ck_assert_uint_eq(alive, 0);
    }
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
    tcase_add_test(tc, thirty_thousand_buffers_take_little_time);
    tcase_add_test(tc, out_of_memory_is_reported_and_leaves_nothing_behind);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
