/* SPDX-License-Identifier: Apache-2.0 */
/* Plan once, save the plan, and use the saved plan later: the second engine places every
 * task where the first one did, without searching. Also prints why the first task runs where it does.
 *
 *     use_plan model.onnx plan.json
 */
#include <stdio.h>
#include <stdlib.h>

#include <heteroengine/engine.h>

static he_status make_plan(struct he_model *model, const char *plan_path)
{
    struct he_engine *engine = NULL;
    struct he_plan *plan = NULL;
    const char *first;
    char *why = NULL;
    he_status status = he_engine_create(NULL, &engine);

    if (status == HE_OK)
        status = he_engine_analyze(engine, model, NULL, &plan);
    if (status == HE_OK)
        status = he_plan_save(plan, plan_path);
    if (status == HE_OK)
        status = he_plan_task(plan, 0, &first, NULL, NULL);
    if (status == HE_OK)
        status = he_plan_explain_text(plan, first, &why);
    if (status == HE_OK)
        printf("%s", why);
    he_string_free(why);
    he_plan_destroy(plan);
    he_engine_destroy(engine);
    return status;
}

static he_status use_plan(struct he_model *model, const char *plan_path)
{
    struct he_analyze_options options = { .struct_size = sizeof options, .plan_path = plan_path };
    struct he_session *session = NULL;
    struct he_engine *engine = NULL;
    struct he_plan *plan = NULL;
    he_status status = he_engine_create(NULL, &engine);

    if (status == HE_OK)
        status = he_engine_analyze(engine, model, &options, &plan);
    if (status == HE_OK)
        status = he_session_create(engine, plan, NULL, &session);
    if (status == HE_OK)
        printf("a session stands on %s\n", plan_path);
    he_session_destroy(session);
    he_plan_destroy(plan);
    he_engine_destroy(engine);
    return status;
}

int main(int argc, char **argv)
{
    struct he_model *model = NULL;
    he_status status;

    if (argc != 3) {
        fprintf(stderr, "usage: use_plan model.onnx plan.json\n");
        return 2;
    }
    status = he_model_load(argv[1], NULL, &model);
    if (status == HE_OK)
        status = make_plan(model, argv[2]);
    if (status == HE_OK)
        status = use_plan(model, argv[2]);
    if (status != HE_OK)
        fprintf(stderr, "%s\n", he_error_message());
    he_model_destroy(model);
    return status == HE_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
