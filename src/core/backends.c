/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of backends: the built-in ones (a table the build generates from the
 * fragments), then those loaded from shared objects, in the order they came.
 */
#include <dlfcn.h>
#include <string.h>

#include "alloc.h"
#include "device.h"
#include "log.h"
#include "size.h"
#include "thread.h"

#define HE_BUILTIN(name) extern const struct he_backend he_backend_##name;
#include "core/builtin_backends.inc"
#undef HE_BUILTIN

/* Ends with NULL, so that it is no empty array in a build without backends. */
static const struct he_backend *const builtin[] = {
#define HE_BUILTIN(name) &he_backend_##name,
#include "core/builtin_backends.inc"
#undef HE_BUILTIN
    NULL,
};

struct loaded_backend {
    const struct he_backend *backend;
    struct loaded_backend *next;
};

static pthread_mutex_t load_lock = PTHREAD_MUTEX_INITIALIZER;
/* Appended to under load_lock, never removed, so that readers need no lock. */
static struct loaded_backend *_Atomic loaded_first;

static size_t builtin_count(void)
{
    return HE_COUNT(builtin) - 1;
}

size_t he_backend_count(void)
{
    size_t count = builtin_count();

    for (struct loaded_backend *l = atomic_load(&loaded_first); l; l = l->next)
        count++;
    return count;
}

const struct he_backend *he_backend_at(size_t index)
{
    if (index < builtin_count())
        return builtin[index];
    index -= builtin_count();
    for (struct loaded_backend *l = atomic_load(&loaded_first); l; l = l->next) {
        if (index-- == 0)
            return l->backend;
    }
    return NULL;
}

const struct he_backend *he_backend_find(const char *name)
{
    for (size_t k = 0; k < he_backend_count(); k++) {
        const struct he_backend *backend = he_backend_at(k);

        if (strcmp(backend->name, name) == 0)
            return backend;
    }
    return NULL;
}

he_status he_backend_check(const struct he_backend *backend)
{
    const char *missing = NULL;

    if (!backend || backend->struct_size < sizeof *backend)
        return he_error_set(HE_ERR_DEVICE, "the backend's table is too small for this library");
    if (backend->abi != HE_BACKEND_ABI)
        return he_error_set(HE_ERR_DEVICE, "the backend speaks ABI %u, this library %u",
                            backend->abi, (unsigned)HE_BACKEND_ABI);
    if (!backend->name || !backend->name[0])
        missing = "name";
    else if (!backend->enumerate)
        missing = "enumerate";
    else if (!backend->open)
        missing = "open";
    if (missing)
        return he_error_set(HE_ERR_DEVICE, "the backend's table lacks %s", missing);
    return HE_OK;
}

static he_status append_loaded(const struct he_backend *backend, const char *path)
{
    struct loaded_backend *link, *last;

    if (he_backend_find(backend->name))
        return he_error_set(HE_ERR_DEVICE, "%s: a backend called %s is there already", path,
                            backend->name);
    link = he_alloc(&he_allocator_default, 1, sizeof *link);
    if (!link)
        return he_no_memory();
    link->backend = backend;
    last = atomic_load(&loaded_first);
    while (last && last->next)
        last = last->next;
    if (last)
        last->next = link;
    else
        atomic_store(&loaded_first, link);
    return HE_OK;
}

he_status he_backend_load(const char *path)
{
    he_backend_entry_fn entry;
    const struct he_backend *backend;
    he_status status;
    void *library, *symbol;

    if (!path)
        return he_error_set(HE_ERR_INVALID, "he_backend_load: path is NULL");
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return he_error_set(HE_ERR_IO, "cannot load backend: %s", dlerror());
    symbol = dlsym(library, "he_backend_entry");
    if (!symbol) {
        status = he_error_set(HE_ERR_DEVICE, "%s exports no he_backend_entry", path);
        goto close_library;
    }
    memcpy(&entry, &symbol, sizeof entry);
    backend = entry();
    status = he_backend_check(backend);
    if (status != HE_OK) {
        he_error_prefix(status, "%s", path);
        goto close_library;
    }
    pthread_mutex_lock(&load_lock);
    status = append_loaded(backend, path);
    pthread_mutex_unlock(&load_lock);
    if (status == HE_OK) {
        he_log(HE_LOG_INFO, "backend %s loaded from %s", backend->name, path);
        return HE_OK;
    }

close_library:
    dlclose(library);
    return status;
}
