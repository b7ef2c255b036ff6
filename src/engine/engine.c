/* SPDX-License-Identifier: Apache-2.0 */
/* The engine: a machine, its open devices, the calibration store. */
#include <string.h>

#include "config.h"
#include "core/log.h"
#include "engine/engine.h"
#include "exec/exec.h"

const char *he_version(void)
{
    return PACKAGE_VERSION;
}

static he_status make_machine(struct he_engine *engine, const struct he_engine_options *options)
{
    he_status status;

    if (options->config_path)
        status = he_machine_load(options->config_path, &engine->alloc, &engine->machine);
    else if (options->devices)
        return he_machine_from_line(options->devices, &engine->alloc, &engine->machine);
    else
        status = he_machine_discover(&engine->alloc, &engine->machine);
    engine->is_discovered = !options->config_path;
    if (status == HE_OK && options->config_path && options->devices)
        status = he_machine_select(engine->machine, options->devices);
    return status;
}

static he_status open_store(struct he_engine *engine, const char *path)
{
    he_status status;

    if (path && !path[0])
        return HE_OK;
    status = he_cost_store_open(path, &engine->alloc, &engine->store);
    return status == HE_OK ? he_cost_apply_pairs(engine->store, engine->machine) : status;
}

he_status he_engine_create(const struct he_engine_options *options, struct he_engine **out)
{
    struct he_engine_options chosen = { .struct_size = sizeof chosen };
    struct he_engine *engine;
    struct he_allocator alloc;
    he_status status;

    if (!out)
        return he_error_set(HE_ERR_INVALID, "he_engine_create: out is NULL");
    *out = NULL;
    if (options)
        memcpy(&chosen, options,
               options->struct_size < sizeof chosen ? options->struct_size : sizeof chosen);
    alloc = chosen.allocator ? *chosen.allocator : he_allocator_default;
    engine = he_alloc(&alloc, 1, sizeof *engine);
    if (!engine)
        return he_no_memory();
    engine->alloc = alloc;
    status = he_mutex_init(&engine->lock);
    if (status != HE_OK) {
        he_free(&alloc, engine);
        return status;
    }
    status = make_machine(engine, &chosen);
    if (status == HE_OK)
        status = open_store(engine, chosen.cost_store);
    if (status != HE_OK) {
        he_engine_destroy(engine);
        return status;
    }
    *out = engine;
    return HE_OK;
}

he_status he_engine_open(const char *config_path, struct he_engine **out)
{
    struct he_engine_options options = { .struct_size = sizeof options,
                                         .config_path = config_path };

    return he_engine_create(&options, out);
}

void he_engine_destroy(struct he_engine *engine)
{
    struct he_allocator alloc;

    if (!engine)
        return;
    alloc = engine->alloc;
    for (uint32_t d = 0; d < engine->dev_count; d++)
        he_device_close(engine->devs[d]);
    he_device_close(engine->folder);
    he_free(&alloc, engine->devs);
    he_cost_store_close(engine->store);
    he_machine_destroy(engine->machine);
    he_mutex_fini(&engine->lock);
    he_free(&alloc, engine);
}

he_status he_engine_add_device(struct he_engine *engine, const char *id, const char *options)
{
    he_status status;

    if (!engine || !id)
        return he_error_set(HE_ERR_INVALID, "he_engine_add_device: engine or id is NULL");
    if (engine->devs)
        return he_error_set(HE_ERR_INVALID, "devices are added before the first model is analyzed");
    if (engine->is_discovered) {
        struct he_machine *chosen;
        status = he_machine_create("devices added in code", &engine->alloc, &chosen);
        if (status != HE_OK)
            return status;
        he_machine_destroy(engine->machine);
        engine->machine = chosen;
        engine->is_discovered = false;
    }
    status = he_machine_add_device(engine->machine, id, options ? options : "");
    return status == HE_OK ? he_cost_apply_pairs(engine->store, engine->machine) : status;
}

he_status he_engine_set_mem_policy(struct he_engine *engine, enum he_mem policy)
{
    if (!engine)
        return he_error_set(HE_ERR_INVALID, "he_engine_set_mem_policy: engine is NULL");
    if (policy == HE_MEM_FAIL) {
        engine->machine->settings.mem_policy = HE_MEM_FAIL_POLICY;
        return HE_OK;
    }
    return he_error_set(HE_ERR_UNSUPPORTED, "the memory policy 'swap' is not there yet; 'fail' is");
}

const struct he_machine *he_engine_machine(const struct he_engine *engine)
{
    return engine->machine;
}

/* --- Devices --- */

/* A device whose driver fails, or that has no memory left, beside others. */
static bool may_do_without(const struct he_engine *engine, const struct he_machine_device *device,
                           he_status status)
{
    bool is_its_own = he_is_device_failure(status) || status == HE_ERR_NO_DEVICE ||
                      (status == HE_ERR_NO_MEMORY && !(device->caps & HE_CAP_HOST_MEMORY));

    return is_its_own && engine->machine->device_count > 1 &&
           strcmp(engine->machine->settings.on_device_loss, "fail") != 0;
}

static bool replans_on_loss(const struct he_engine *engine, enum he_on_device_loss asked)
{
    if (asked == HE_ON_LOSS_DEFAULT)
        return strcmp(engine->machine->settings.on_device_loss, "fail") != 0;
    return asked == HE_ON_LOSS_REPLAN;
}

static he_status open_device(struct he_engine *engine, const struct he_machine_device *device,
                             struct he_device **out)
{
    const struct he_machine_settings *settings = &engine->machine->settings;
    const struct he_backend *backend = he_backend_find(device->backend);
    struct he_device_config config = {
        .struct_size = sizeof config,
        .cores = device->cores,
        .threads = device->threads,
        .memory_bytes = device->memory_bytes,
        .allow_bf16 = settings->allow_bf16,
        .allow_fp16 = settings->allow_fp16,
        .allow_int8 = settings->allow_int8,
        .allocator = engine->alloc,
    };
    he_status status;

    if (!backend)
        return he_error_set(HE_ERR_NO_DEVICE, "%s: no backend '%s' is built in or loaded",
                            device->id, device->backend);
    status = he_device_open(backend, device->backend_index, &config, &engine->alloc, out);
    if (status != HE_OK) {
        status = he_error_prefix(status, "%s", device->id);
        if (!may_do_without(engine, device, status) ||
            he_device_open_lost(backend, &engine->alloc, out) != HE_OK)
            return status;
        he_log(HE_LOG_WARNING, "%s; planning without it", he_error_message());
    }
    he_device_set_id(*out, device->id);
    return HE_OK;
}

he_status he_engine_device(struct he_engine *engine, uint32_t index, struct he_device **out)
{
    he_status status = HE_OK;

    *out = NULL;
    he_mutex_lock(&engine->lock);
    if (!engine->devs) {
        engine->devs = he_alloc(&engine->alloc, engine->machine->device_count,
                                sizeof(struct he_device *));
        if (engine->devs)
            engine->dev_count = engine->machine->device_count;
        else
            status = he_no_memory();
    }
    if (status == HE_OK && !engine->devs[index] && !engine->machine->devices[index].is_simulated)
        status = open_device(engine, &engine->machine->devices[index], &engine->devs[index]);
    if (status == HE_OK)
        *out = engine->devs[index];
    he_mutex_unlock(&engine->lock);
    return status;
}

/* --- Sessions and learning --- */

he_status he_session_create(struct he_engine *engine, struct he_plan *plan,
                            const struct he_session_options *options, struct he_session **out)
{
    struct he_session_options chosen = { .struct_size = sizeof chosen };
    struct he_mender *mender = NULL;

    if (!engine || !plan || !out)
        return he_error_set(HE_ERR_INVALID, "he_session_create: engine, plan or out is NULL");
    *out = NULL;
    if (options)
        memcpy(&chosen, options,
               options->struct_size < sizeof chosen ? options->struct_size : sizeof chosen);
    for (uint32_t p = 0; p < plan->part_count; p++) {
        const struct he_machine_device *device = &plan->machine->devices[plan->parts[p].device];
        struct he_device *dev;
        he_status status;

        if (device->is_simulated)
            return he_error_set(HE_ERR_UNSUPPORTED,
                                "device %s is simulated: this plan can be shown, not run",
                                device->id);
        status = he_engine_device(engine, plan->parts[p].device, &dev);
        if (status != HE_OK)
            return status;
    }
    if (replans_on_loss(engine, chosen.on_device_loss)) {
        he_status status = he_mender_create(engine, &mender);

        if (status != HE_OK)
            return status;
    }
    return he_session_open(plan, engine->devs, &chosen, mender, &engine->alloc, out);
}

/* Each task's last sample goes under its device. */
static he_status learn_task(struct he_engine *engine, const struct he_plan *plan,
                            const struct he_session *session, uint32_t t, struct he_arena *arena)
{
    const struct he_task *task = &plan->graph->tasks[t];
    const struct he_machine_device *device = &plan->machine->devices[plan->placement.device[t]];
    const char *fingerprint = he_cost_fingerprint(device, arena);
    struct he_cost_device bare;
    struct he_cost roofline;
    const char *way;
    double seconds;
    he_status status;

    if (!fingerprint)
        return he_no_memory();
    status = he_cost_device_init(&bare, device, NULL, NULL, arena);
    if (status == HE_OK)
        status = he_session_task_seconds(session, t, &seconds);
    if (status != HE_OK)
        return status;
    way = plan->costs[(size_t)t * plan->problem->device_count + plan->placement.device[t]].way;
    if (way) /* not what the task's own figure stands for */
        return HE_OK;
    he_cost_task(plan->graph, task, &bare, arena, &roofline);
    return he_cost_store_add(engine->store, fingerprint, he_cost_signature(plan->graph, task),
                             task->work.work_class, roofline.seconds, seconds);
}

he_status he_engine_learn(struct he_engine *engine, const struct he_plan *plan,
                          struct he_session *session)
{
    struct he_arena arena;
    he_status status = HE_OK;

    if (!engine->store || plan != session->plan) /* the times are those of another plan */
        return HE_OK;
    he_arena_init(&arena, &engine->alloc);
    for (uint32_t t = 0; t < plan->graph->task_count && status == HE_OK; t++)
        status = learn_task(engine, plan, session, t, &arena);
    he_session_reset_times(session);
    he_arena_fini(&arena);
    return status;
}

he_status he_engine_save_costs(struct he_engine *engine)
{
    return engine->store ? he_cost_store_save(engine->store) : HE_OK;
}
