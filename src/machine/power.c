/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Zones called "intel-rapl:N" are packages (AMD's too); those with a second colon are parts
 * of one and would count twice. Since 2020 the counters are root's on most systems (they
 * leak what a processor does), so that not being able to read them is the common case.
 */
#include "machine/power.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_ROOT "/sys/class/powercap"
#define DEFAULT_RANGE 262143.328850 /* J; 2^32 units of 61 uJ */

static bool read_number(const char *root, const char *zone, const char *name, double *out)
{
    char path[600];
    FILE *file;
    bool is_read;

    if ((size_t)snprintf(path, sizeof path, "%s/%s/%s", root, zone, name) >= sizeof path)
        return false;
    file = fopen(path, "re");
    if (!file)
        return false;
    is_read = fscanf(file, "%lf", out) == 1 && *out >= 0;
    fclose(file);
    return is_read;
}

static bool is_package(const char *zone)
{
    const char *colon = strchr(zone, ':');

    return strncmp(zone, "intel-rapl:", 11) == 0 && colon && !strchr(colon + 1, ':');
}

bool he_power_read(const char *root, struct he_power_reading *out)
{
    const char *from = root ? root : DEFAULT_ROOT;
    DIR *dir = opendir(from);
    struct dirent *zone;
    bool is_found = false;

    *out = (struct he_power_reading){ 0, 0 };
    if (!dir)
        return false;
    while ((zone = readdir(dir))) {
        double energy, range;

        if (!is_package(zone->d_name) || !read_number(from, zone->d_name, "energy_uj", &energy))
            continue;
        if (!read_number(from, zone->d_name, "max_energy_range_uj", &range))
            range = DEFAULT_RANGE * 1e6;
        out->joules += energy * 1e-6;
        out->range = range * 1e-6 > out->range ? range * 1e-6 : out->range;
        is_found = true;
    }
    closedir(dir);
    return is_found;
}

double he_power_between(const struct he_power_reading *before, const struct he_power_reading *after)
{
    double joules = after->joules - before->joules;

    /* Packages begin again one at a time. */
    return joules < 0 ? joules + after->range : joules;
}
