/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

he_status he_file_map(const char *path, struct he_file *out)
{
    he_status status = HE_OK;
    struct stat info;
    void *data;
    int fd;

    *out = (struct he_file){ "", 0 };
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return he_error_set(HE_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    if (fstat(fd, &info) != 0) {
        status = he_error_set(HE_ERR_IO, "cannot examine %s: %s", path, strerror(errno));
        goto close_fd;
    }
    if (!S_ISREG(info.st_mode)) {
        status = he_error_set(HE_ERR_IO, "%s is not a regular file", path);
        goto close_fd;
    }
    if ((uintmax_t)info.st_size > SIZE_MAX / 2) {
        status = he_error_set(HE_ERR_IO, "%s is too large to map", path);
        goto close_fd;
    }
    if (info.st_size == 0)
        goto close_fd;
    data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
        status = he_error_set(HE_ERR_IO, "cannot map %s: %s", path, strerror(errno));
        goto close_fd;
    }
    *out = (struct he_file){ data, (size_t)info.st_size };

close_fd:
    close(fd);
    return status;
}

void he_file_unmap(struct he_file *file)
{
    if (file->size)
        munmap((void *)(uintptr_t)file->data, file->size);
    *file = (struct he_file){ "", 0 };
}

static he_status write_all(int fd, const char *path, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t done = write(fd, data, size);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return he_error_set(HE_ERR_IO, "cannot write %s: %s", path, strerror(errno));
        data += done;
        size -= (size_t)done;
    }
    return HE_OK;
}

he_status he_file_write(const char *path, const void *data, size_t size)
{
    size_t name_size = strlen(path) + sizeof ".XXXXXX";
    char *temporary = malloc(name_size);
    he_status status;
    mode_t mask;
    int fd;

    if (!temporary)
        return he_no_memory();
    snprintf(temporary, name_size, "%s.XXXXXX", path);
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        status = he_error_set(HE_ERR_IO, "cannot write %s: %s", path, strerror(errno));
        goto free_name;
    }
    mask = umask(0);
    umask(mask);
    fchmod(fd, 0666 & ~mask);
    status = write_all(fd, path, data, size);
    if (close(fd) != 0 && status == HE_OK)
        status = he_error_set(HE_ERR_IO, "cannot write %s: %s", path, strerror(errno));
    if (status == HE_OK && rename(temporary, path) != 0)
        status = he_error_set(HE_ERR_IO, "cannot write %s: %s", path, strerror(errno));
    if (status != HE_OK)
        unlink(temporary);

free_name:
    free(temporary);
    return status;
}
