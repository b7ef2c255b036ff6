/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Built programs on disk, one file each, in a folder of the user's cache. A file holds
 *
 *     header    magic, sizes, SHA-256 of everything behind the header
 *     key       device, versions of driver and platform, options, source: all of it
 *     binary    what clGetProgramInfo(CL_PROGRAM_BINARIES) gave
 *
 * and is named by the SHA-256 of its key. A load compares the whole key and the digest, so
 * neither equal names nor torn files give a wrong program. Files are written beside
 * and renamed. Binaries are code that will run here: the folder is made for its owner alone,
 * and a folder or file that others may write is not read.
 *
 *     HETEROENGINE_OPENCL_CACHE     "off", or an absolute folder; else $XDG_CACHE_HOME or
 *                                   ~/.cache, heteroengine/opencl
 *     HETEROENGINE_OPENCL_CACHE_MB  most it may take (256); the files used longest ago go first
 *
 * A damaged file is removed and the program built anew.
 *
 * Asking PoCL for a binary makes it compile each kernel once more, which takes half as long as
 * building did, and it keeps what it built in a cache of its own. So of processors a program is
 * kept when it is built for the second time: what runs once pays nothing.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cache.h"

#define MAGIC "heteroengine-clbin1"
#define SUFFIX ".clbin"
#define SEEN_SUFFIX ".seen" /* an empty file: built once, not kept */
#define NAME_BYTES (2 * OPENCL_DIGEST_BYTES + sizeof SUFFIX)
#define DEFAULT_MEGABYTES 256
#define LARGEST_PROGRAM ((size_t)1 << 30)
#define STALE_SECONDS 3600 /* a half-written file of a process that died */
#define SEEN_SECONDS (30 * 24 * 3600)

struct header {
    char magic[24];
    uint64_t key_bytes, binary_bytes;
    uint8_t digest[OPENCL_DIGEST_BYTES];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Guarded by lock: bytes in the folder as far as known, 0 before the first look. */
static uint64_t folder_bytes;
static uint64_t file_number; /* of this process, for names of files being written */

/* --- The folder --- */

/* The folder's path in @out; false when the cache is off or there is no home. */
static bool folder_path(char *out, size_t size)
{
    const char *told = getenv("HETEROENGINE_OPENCL_CACHE");
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int length = -1;

    if (told && told[0] == '/')
        length = snprintf(out, size, "%s", told);
    else if (told && told[0])
        return false; /* "off", or nothing that could be meant */
    else if (cache && cache[0] == '/')
        length = snprintf(out, size, "%s/heteroengine/opencl", cache);
    else if (home && home[0] == '/')
        length = snprintf(out, size, "%s/.cache/heteroengine/opencl", home);
    return length > 0 && (size_t)length < size;
}

/* Only what nobody else can have written is run. */
static bool is_ours(const struct stat *info)
{
    return info->st_uid == geteuid() && !(info->st_mode & (S_IWGRP | S_IWOTH));
}

static void make_folders(const char *path)
{
    char folder[1024];

    if (strlen(path) >= sizeof folder)
        return;
    strcpy(folder, path);
    for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(folder, 0777);
        *slash = '/';
    }
    mkdir(folder, 0700);
}

/* A descriptor of the folder, or -1. */
static int open_folder(bool may_make)
{
    char path[1024];
    struct stat info;
    int fd;

    if (!folder_path(path, sizeof path))
        return -1;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && may_make) {
        make_folders(path);
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd >= 0 && (fstat(fd, &info) != 0 || !is_ours(&info))) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* --- The key --- */

static void put_info(struct opencl_device *dev, cl_device_info what, struct opencl_text *key)
{
    char text[512] = "";

    if (dev->cl->clGetDeviceInfo(dev->id, what, sizeof text - 1, text, NULL) != CL_SUCCESS)
        text[0] = '\0';
    opencl_text_printf(key, "%s\n", text);
}

/* Device and driver: what every key of theirs begins with. */
static void begin_key(struct opencl_device *dev, struct opencl_text *key)
{
    cl_platform_id platform = NULL;
    char version[512] = "";

    opencl_text_init(key, &dev->alloc);
    put_info(dev, CL_DEVICE_NAME, key);
    put_info(dev, CL_DEVICE_VENDOR, key);
    put_info(dev, CL_DEVICE_VERSION, key);
    put_info(dev, CL_DRIVER_VERSION, key);
    /* PoCL tells here which compiler it was built with. */
    if (dev->cl->clGetDeviceInfo(dev->id, CL_DEVICE_PLATFORM, sizeof platform, &platform, NULL) ==
        CL_SUCCESS)
        dev->cl->clGetPlatformInfo(platform, CL_PLATFORM_VERSION, sizeof version - 1, version,
                                   NULL);
    opencl_text_printf(key, "%s\n", version);
}

static void make_key(struct opencl_device *dev, const struct opencl_source *source,
                     struct opencl_text *key)
{
    begin_key(dev, key);
    opencl_text_printf(key, "%s\n", source->options);
    opencl_text_append(key, source->text, source->size);
}

static void name_file(const struct opencl_text *key, const char *suffix, char out[NAME_BYTES])
{
    uint8_t digest[OPENCL_DIGEST_BYTES];

    opencl_digest(key->data, key->size, digest);
    for (size_t k = 0; k < sizeof digest; k++)
        snprintf(out + 2 * k, 3, "%02x", digest[k]);
    strcpy(out + 2 * sizeof digest, suffix);
}

/* --- Reading --- */

static bool read_all(int fd, void *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t got = read(fd, (char *)data + at, size - at);

        if (got == 0 || (got < 0 && errno != EINTR))
            return false;
        at += got > 0 ? (size_t)got : 0;
    }
    return true;
}

/* The file's bytes behind the header, or NULL; *is_damaged when it should go. */
static uint8_t *read_file(struct opencl_device *dev, int fd, const struct opencl_text *key,
                          struct header *header, bool *is_damaged)
{
    uint8_t digest[OPENCL_DIGEST_BYTES], *data;
    struct stat info;
    size_t size;

    *is_damaged = false;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || !is_ours(&info))
        return NULL;
    *is_damaged = true;
    if (!read_all(fd, header, sizeof *header) ||
        memcmp(header->magic, MAGIC, sizeof MAGIC) != 0 || header->key_bytes > LARGEST_PROGRAM ||
        header->binary_bytes == 0 || header->binary_bytes > LARGEST_PROGRAM ||
        (uint64_t)info.st_size != sizeof *header + header->key_bytes + header->binary_bytes)
        return NULL;
    size = (size_t)(header->key_bytes + header->binary_bytes);
    data = opencl_alloc(&dev->alloc, size, 1);
    if (!data) {
        *is_damaged = false;
        return NULL;
    }
    if (read_all(fd, data, size)) {
        opencl_digest(data, size, digest);
        *is_damaged = memcmp(digest, header->digest, sizeof digest) != 0;
    }
    if (*is_damaged || header->key_bytes != key->size ||
        memcmp(data, key->data, key->size) != 0) {
        opencl_free(&dev->alloc, data);
        return NULL;
    }
    return data;
}

/* A binary the driver takes back needs building too, which is quick. */
static cl_program make_program(struct opencl_device *dev, const struct opencl_source *source,
                               const uint8_t *binary, size_t size)
{
    cl_int status = CL_SUCCESS, error;
    cl_program program = dev->cl->clCreateProgramWithBinary(dev->context, 1, &dev->id, &size,
                                                            &binary, &status, &error);

    if (!program)
        return NULL;
    if (error == CL_SUCCESS && status == CL_SUCCESS &&
        dev->cl->clBuildProgram(program, 1, &dev->id, source->options, NULL, NULL) == CL_SUCCESS)
        return program;
    dev->cl->clReleaseProgram(program);
    return NULL;
}

cl_program opencl_cache_load(struct opencl_device *dev, const struct opencl_source *source)
{
    int folder = open_folder(false), fd = -1;
    cl_program program = NULL;
    struct opencl_text key;
    struct header header;
    char name[NAME_BYTES];
    uint8_t *data = NULL;
    bool is_damaged = false;

    if (folder < 0)
        return NULL;
    make_key(dev, source, &key);
    if (key.failed)
        goto close_folder;
    name_file(&key, SUFFIX, name);
    fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        goto close_folder;
    data = read_file(dev, fd, &key, &header, &is_damaged);
    if (data) {
        program = make_program(dev, source, data + header.key_bytes, (size_t)header.binary_bytes);
        is_damaged = !program; /* a driver that refuses it will do so again */
        opencl_free(&dev->alloc, data);
    }
    if (program)
        futimens(fd, NULL); /* used just now */
    else if (is_damaged)
        unlinkat(folder, name, 0);
    close(fd);
close_folder:
    opencl_text_fini(&key);
    close(folder);
    return program;
}

/* --- Making room --- */

struct entry {
    char name[NAME_BYTES];
    uint64_t bytes;
    struct timespec used;
};

static int oldest_first(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->used.tv_sec != y->used.tv_sec)
        return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
    if (x->used.tv_nsec != y->used.tv_nsec)
        return x->used.tv_nsec < y->used.tv_nsec ? -1 : 1;
    return strcmp(x->name, y->name);
}

static bool ends_with(const char *name, const char *end)
{
    size_t size = strlen(name), end_size = strlen(end);

    return size >= end_size && strcmp(name + size - end_size, end) == 0;
}

/* Lists the cache's files, and removes what dead processes left half-written. */
static uint32_t list_files(const struct he_allocator *alloc, int folder, struct entry **out)
{
    uint32_t count = 0, capacity = 0;
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *item;

    *out = NULL;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    while ((item = readdir(dir)) != NULL) {
        struct stat info;
        time_t age;

        if (fstatat(folder, item->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(info.st_mode))
            continue;
        age = time(NULL) - info.st_mtime;
        if ((ends_with(item->d_name, ".tmp") && age > STALE_SECONDS) ||
            (ends_with(item->d_name, SEEN_SUFFIX) && age > SEEN_SECONDS))
            unlinkat(folder, item->d_name, 0);
        if (strlen(item->d_name) != NAME_BYTES - 1 || !ends_with(item->d_name, SUFFIX) ||
            opencl_grow(alloc, (void **)out, &capacity, count, count + 1, sizeof **out) != HE_OK)
            continue;
        (*out)[count].bytes = (uint64_t)info.st_size;
        (*out)[count].used = info.st_mtim;
        strcpy((*out)[count++].name, item->d_name);
    }
    closedir(dir);
    return count;
}

static uint64_t limit_bytes(void)
{
    const char *told = getenv("HETEROENGINE_OPENCL_CACHE_MB");
    char *end;
    unsigned long long megabytes = told ? strtoull(told, &end, 10) : 0;

    if (!told || end == told || *end || megabytes > 1 << 20)
        megabytes = DEFAULT_MEGABYTES;
    return megabytes << 20;
}

/* Room for @bytes more: when the bound is reached a tenth of it is freed, so that not
 * every program looks through the folder. */
static void make_room_locked(const struct he_allocator *alloc, int folder, uint64_t bytes)
{
    uint64_t limit = limit_bytes(), goal;
    struct entry *entries;
    uint32_t count;

    if (folder_bytes && folder_bytes + bytes <= limit) {
        folder_bytes += bytes;
        return;
    }
    count = list_files(alloc, folder, &entries);
    folder_bytes = bytes;
    for (uint32_t k = 0; k < count; k++)
        folder_bytes += entries[k].bytes;
    goal = folder_bytes > limit ? limit - limit / 10 : limit;
    if (folder_bytes > goal && count)
        qsort(entries, count, sizeof *entries, oldest_first);
    for (uint32_t k = 0; k < count && folder_bytes > goal; k++) {
        unlinkat(folder, entries[k].name, 0);
        folder_bytes -= entries[k].bytes;
    }
    opencl_free(alloc, entries);
}

/* --- Devices without a compiler --- */

static bool begins_with(int folder, const char *name, const struct opencl_text *key, char *room)
{
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct header header;
    struct stat info;
    bool fits;

    if (fd < 0)
        return false;
    fits = fstat(fd, &info) == 0 && is_ours(&info) && read_all(fd, &header, sizeof header) &&
           memcmp(header.magic, MAGIC, sizeof MAGIC) == 0 && header.key_bytes >= key->size &&
           read_all(fd, room, key->size) && memcmp(room, key->data, key->size) == 0;
    close(fd);
    return fits;
}

bool opencl_cache_has_any(struct opencl_device *dev)
{
    unsigned known = atomic_load(&dev->built_before);
    struct entry *entries = NULL;
    struct opencl_text key;
    uint32_t count;
    char *room;
    int folder;

    if (known)
        return known == 2;
    known = 1;
    folder = opencl_device_start(dev) == HE_OK ? open_folder(false) : -1;
    if (folder >= 0) {
        begin_key(dev, &key);
        count = list_files(&dev->alloc, folder, &entries);
        room = key.failed ? NULL : opencl_alloc(&dev->alloc, key.size + 1, 1);
        for (uint32_t k = 0; room && k < count && known == 1; k++)
            known += begins_with(folder, entries[k].name, &key, room);
        opencl_free(&dev->alloc, room);
        opencl_free(&dev->alloc, entries);
        opencl_text_fini(&key);
        close(folder);
    }
    atomic_store(&dev->built_before, known);
    return known == 2;
}

/* --- Writing --- */

static bool write_all(int fd, const void *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t put = write(fd, (const char *)data + at, size - at);

        if (put <= 0 && errno != EINTR)
            return false;
        at += put > 0 ? (size_t)put : 0;
    }
    return true;
}

#define CONTEXT_DEVICES_MAX OPENCL_DEVICES_MAX

/* Where this device stands among those of the program's context, which are asked for together. */
static bool find_part(struct opencl_device *dev, cl_program built, cl_uint *count, cl_uint *index)
{
    cl_device_id devices[CONTEXT_DEVICES_MAX];

    if (dev->cl->clGetProgramInfo(built, CL_PROGRAM_NUM_DEVICES, sizeof *count, count, NULL) !=
            CL_SUCCESS || *count > CONTEXT_DEVICES_MAX ||
        dev->cl->clGetProgramInfo(built, CL_PROGRAM_DEVICES, sizeof devices, devices, NULL) !=
            CL_SUCCESS)
        return false;
    for (*index = 0; *index < *count; ++*index)
        if (devices[*index] == dev->id)
            return true;
    return false;
}

/* Key and binary in one piece, or NULL. */
static uint8_t *take_binary(struct opencl_device *dev, cl_program built,
                            const struct opencl_text *key, struct header *header)
{
    size_t sizes[CONTEXT_DEVICES_MAX] = { 0 }, size;
    uint8_t *binaries[CONTEXT_DEVICES_MAX] = { NULL }, *data;
    cl_uint count, index;

    if (!find_part(dev, built, &count, &index) ||
        dev->cl->clGetProgramInfo(built, CL_PROGRAM_BINARY_SIZES, count * sizeof sizes[0], sizes,
                                  NULL) != CL_SUCCESS)
        return NULL;
    size = sizes[index];
    if (size == 0 || size > LARGEST_PROGRAM || key->size > LARGEST_PROGRAM)
        return NULL;
    data = opencl_alloc(&dev->alloc, key->size + size, 1);
    if (!data)
        return NULL;
    memcpy(data, key->data, key->size);
    binaries[index] = data + key->size; /* NULL: not that device's */
    if (dev->cl->clGetProgramInfo(built, CL_PROGRAM_BINARIES, count * sizeof binaries[0], binaries,
                                  NULL) != CL_SUCCESS) {
        opencl_free(&dev->alloc, data);
        return NULL;
    }
    *header = (struct header){ .magic = MAGIC, .key_bytes = key->size, .binary_bytes = size };
    opencl_digest(data, key->size + size, header->digest);
    return data;
}

/* Made beside and renamed: a reader finds the whole file or none. */
static void write_file(int folder, const char *name, const struct header *header,
                       const uint8_t *data, uint64_t number)
{
    char beside[64];
    bool is_whole;
    int fd;

    snprintf(beside, sizeof beside, "%ld-%llu.tmp", (long)getpid(), (unsigned long long)number);
    fd = openat(folder, beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return;
    is_whole = write_all(fd, header, sizeof *header) &&
               write_all(fd, data, (size_t)(header->key_bytes + header->binary_bytes));
    is_whole &= close(fd) == 0;
    if (!is_whole || renameat(folder, beside, folder, name) != 0)
        unlinkat(folder, beside, 0);
}

/* True when some process has built this before; leaves a sign that it was built now. */
static bool was_seen(int folder, const struct opencl_text *key)
{
    char name[NAME_BYTES];
    int fd;

    name_file(key, SEEN_SUFFIX, name);
    fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return errno == EEXIST && unlinkat(folder, name, 0) == 0;
    close(fd);
    return false;
}

void opencl_cache_store(struct opencl_device *dev, const struct opencl_source *source,
                        cl_program built)
{
    int folder = open_folder(true);
    struct opencl_text key;
    struct header header;
    char name[NAME_BYTES];
    uint8_t *data = NULL;
    uint64_t number;

    if (folder < 0)
        return;
    make_key(dev, source, &key);
    if (!key.failed && (!dev->found->is_cpu || was_seen(folder, &key)))
        data = take_binary(dev, built, &key, &header);
    if (data && sizeof header + header.key_bytes + header.binary_bytes <= limit_bytes()) {
        name_file(&key, SUFFIX, name);
        pthread_mutex_lock(&lock);
        make_room_locked(&dev->alloc, folder,
                         sizeof header + header.key_bytes + header.binary_bytes);
        number = file_number++;
        pthread_mutex_unlock(&lock);
        write_file(folder, name, &header, data, number);
    }
    opencl_free(&dev->alloc, data);
    opencl_text_fini(&key);
    close(folder);
}
