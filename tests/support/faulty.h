/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend that fails on demand, as a plug-in (faulty.so): one device, FPGA:0, with a memory of its
 * own and another backend's kernels. The test says which slot fails, after how many calls, with what.
 */
#ifndef TESTS_SUPPORT_FAULTY_H
#define TESTS_SUPPORT_FAULTY_H

#include <stdatomic.h>

#include <heteroengine/backend.h>

enum faulty_slot {
    FAULTY_OPEN,
    FAULTY_BUFFER_ALLOC,
    FAULTY_BUFFER_WRITE,
    FAULTY_BUFFER_READ,
    FAULTY_SUPPORTS,
    FAULTY_COMPILE,
    FAULTY_PROGRAM_INFO,
    FAULTY_BIND,
    FAULTY_INSTANCE_SET,
    FAULTY_LAUNCH,
    FAULTY_WAIT,
    FAULTY_ENTER_THREAD,
    FAULTY_WRITE_BEGIN, /* these when it overlaps */
    FAULTY_READ_BEGIN,
    FAULTY_MARK,
    FAULTY_MARK_WAIT,
    FAULTY_SLOT_COUNT
};

/* What the plug-in and the test share; the test reaches it through faulty_control(). */
struct faulty {
    /* Set before the first use. */
    const struct he_backend *inner; /* of host memory */
    he_status (*error_set)(he_status status, const char *format, ...);
    const char *const *slot_names;
    bool is_host;  /* FPGA:0 says that its memory is the host's */
    bool overlaps; /* copies go on beside launches */
    /* The fault: the slot's next call but @after gives @status; then it was, or @stays and every slot
     * fails like that. */
    _Atomic int slot; /* FAULTY_SLOT_COUNT: none */
    _Atomic int after;
    _Atomic int status;
    _Atomic bool stays, has_failed;
    /* Freeing slots and close() hang while it is set. */
    _Atomic bool hangs;
    _Atomic uint64_t memory_bytes; /* for buffers; 0: no limit */
    /* Seen. */
    _Atomic uint32_t calls[FAULTY_SLOT_COUNT];
    _Atomic int64_t buffers, programs, instances, marks, devices; /* alive */
    _Atomic uint64_t used_bytes;
    _Atomic uint32_t hanging; /* threads */
};

typedef struct faulty *(*faulty_control_fn)(void);

#endif
