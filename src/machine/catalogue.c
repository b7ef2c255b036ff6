/* SPDX-License-Identifier: Apache-2.0 */
/* Finding a catalogue entry: "u280", "h100.yaml", or a path. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine/catalogue.h"
#include "machine/keys.h"

/* The build says where the catalogue is installed; the environment may say otherwise. */
#ifndef HE_CATALOGUE_DIR
#define HE_CATALOGUE_DIR "/usr/local/share/heteroengine/devices"
#endif

static const char *try_path(struct he_machine *machine, const char *folder, size_t folder_size,
                            const char *name)
{
    const char *suffix = strstr(name, ".yaml") ? "" : ".yaml";
    const char *path = folder_size ? he_arena_printf(&machine->arena, "%.*s/%s%s", (int)folder_size,
                                                     folder, name, suffix)
                                   : he_arena_printf(&machine->arena, "%s%s", name, suffix);

    return path && access(path, R_OK) == 0 ? path : NULL;
}

he_status he_machine_like(struct he_machine *machine, struct he_machine_device *device,
                          const char *name, const char *beside)
{
    const char *folder = getenv("HETEROENGINE_CATALOGUE"), *slash, *path;
    const char *places[] = { folder ? folder : HE_CATALOGUE_DIR, HE_CATALOGUE_SOURCE_DIR };
    he_status status;

    slash = beside ? strrchr(beside, '/') : NULL;
    path = try_path(machine, beside, slash ? (size_t)(slash - beside) : 0, name);
    for (size_t k = 0; !path && k < sizeof places / sizeof places[0]; k++)
        path = try_path(machine, places[k], strlen(places[k]), name);
    if (!path)
        return he_error_set(HE_ERR_SETTING, "like: no entry '%s' beside the file, nor in %s", name,
                            places[0]);
    status = he_machine_read_entry(machine, device, path);
    if (status == HE_OK)
        device->like = he_arena_printf(&machine->arena, "%s", name);
    return status == HE_OK && !device->like ? he_no_memory() : status;
}
