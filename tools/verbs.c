/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tools/verbs.h"

#define USES(table) .uses = (table), .n_uses = ELEMENTSOF(table)

static const Use program_uses[] = {
        { OPTION_VERSION, "show the version" },
};

const Verb program_verb = {
        .synopsis = "VERB [OPTION…]",
        .summary = "Define, start, stop and list mediated devices",
        USES(program_uses),
};

/* Beside mdevctl's own form. */
#define JSON                                                                                 \
        {                                                                                    \
                OPTION_JSON, "write JSON with everything, one object for each line of text", \
                                .conflicts = OPTION_BIT(OPTION_DUMPJSON)                     \
        }

#define FORCE \
        { OPTION_FORCE, "go on even if a call-out script objects" }

static const Use define_uses[] = {
        { OPTION_UUID, "the UUID of the device; without it one is made up and printed" },
        { OPTION_AUTO, "start the device whenever its parent is there" },
        { OPTION_PARENT, "the parent of the device" },
        { OPTION_TYPE, "the type of the device" },
        { OPTION_JSONFILE, "take type, autostart and attributes from a file",
                        .conflicts = OPTION_BIT(OPTION_TYPE) | OPTION_BIT(OPTION_AUTO) },
        FORCE,
        { OPTION_ALTERNATE, "allow a second definition of the UUID, on another parent" },
};

static const Use undefine_uses[] = {
        { OPTION_UUID, "the UUID of the device" },
        { OPTION_PARENT, "only the definition on this parent" },
        FORCE,
};

static const Use modify_uses[] = {
        { OPTION_UUID, "the UUID of the device" },
        { OPTION_PARENT, "the parent whose definition is meant" },
        { OPTION_TYPE, "the new type of the device" },
        { OPTION_ADDATTR, "add an attribute", .conflicts = OPTION_BIT(OPTION_DELATTR),
                        .needs = OPTION_BIT(OPTION_VALUE) },
        { OPTION_DELATTR, "remove an attribute" },
        { OPTION_INDEX, "where to add, or which one to remove; otherwise at the end" },
        { OPTION_VALUE, "the value of the attribute to add" },
        { OPTION_AUTO, "start the device whenever its parent is there",
                        .conflicts = OPTION_BIT(OPTION_MANUAL) },
        { OPTION_MANUAL, "start the device only when somebody asks for it" },
        { OPTION_LIVE, "change the running device, with what a file says",
                        .conflicts = OPTION_BIT(OPTION_TYPE) | OPTION_BIT(OPTION_INDEX) |
                                        OPTION_BIT(OPTION_VALUE),
                        .needs = OPTION_BIT(OPTION_JSONFILE) | OPTION_BIT(OPTION_AUTO) |
                                        OPTION_BIT(OPTION_MANUAL) | OPTION_BIT(OPTION_DELATTR) },
        { OPTION_DEFINED, "change what is defined; with '--live' both" },
        { OPTION_JSONFILE, "take type, autostart and attributes from a file",
                        .conflicts = OPTION_BIT(OPTION_TYPE) | OPTION_BIT(OPTION_INDEX) |
                                        OPTION_BIT(OPTION_VALUE) | OPTION_BIT(OPTION_AUTO) |
                                        OPTION_BIT(OPTION_MANUAL) | OPTION_BIT(OPTION_ADDATTR) |
                                        OPTION_BIT(OPTION_DELATTR) },
        FORCE,
        { OPTION_DIRECT, "with '--live': if no call-out script can do it, write to the driver",
                        .needs = OPTION_BIT(OPTION_LIVE) },
        { OPTION_ALTERNATE, "allow a second definition of the UUID, on another parent" },
};

static const Use start_uses[] = {
        { OPTION_UUID, "the UUID of the device; without it one is made up and printed" },
        { OPTION_PARENT, "the parent of the device" },
        { OPTION_TYPE, "the type of the device" },
        { OPTION_JSONFILE, "take type and attributes from a file", .conflicts = OPTION_BIT(OPTION_TYPE) },
        FORCE,
        { OPTION_UUIDS, "several devices that are defined, at once",
                        .conflicts = OPTION_BIT(OPTION_TYPE) | OPTION_BIT(OPTION_JSONFILE) },
        { OPTION_ALL, "all that are defined, with '--parent' on that parent",
                        .conflicts = OPTION_BIT(OPTION_UUID) | OPTION_BIT(OPTION_UUIDS) |
                                        OPTION_BIT(OPTION_TYPE) | OPTION_BIT(OPTION_JSONFILE) },
        { OPTION_JSON, "with several: tell what became of each as JSON",
                        .needs = OPTION_BIT(OPTION_UUIDS) | OPTION_BIT(OPTION_ALL) },
};

static const Use start_parent_uses[] = {
        { OPTION_PARENT_WORD, "the parent" },
};

static const Use stop_uses[] = {
        { OPTION_UUID, "the UUID of the device" },
        FORCE,
        { OPTION_WAIT_FOR_RELEASE, "if it is in use, wait until it is not" },
        { OPTION_UUIDS, "several devices, at once" },
        { OPTION_ALL, "all that are active",
                        .conflicts = OPTION_BIT(OPTION_UUID) | OPTION_BIT(OPTION_UUIDS) },
        { OPTION_PARENT, "all that are active on this parent",
                        .conflicts = OPTION_BIT(OPTION_UUID) | OPTION_BIT(OPTION_UUIDS) },
        { OPTION_JSON, "with several: tell what became of each as JSON",
                        .needs = OPTION_BIT(OPTION_UUIDS) | OPTION_BIT(OPTION_ALL) |
                                        OPTION_BIT(OPTION_PARENT) },
};

static const Use list_uses[] = {
        { OPTION_DEFINED, "list what is defined instead of what is active" },
        { OPTION_DUMPJSON, "write JSON" },
        { OPTION_VERBOSE, "show attributes, too" },
        { OPTION_UUID, "only devices with this UUID" },
        { OPTION_PARENT, "only devices on this parent" },
        JSON,
        { OPTION_VERSION, "show the version" },
};

static const Use types_uses[] = {
        { OPTION_PARENT, "only the types of this parent" },
        { OPTION_DUMPJSON, "write JSON" },
        JSON,
};

static const Use json_uses[] = {
        { OPTION_JSON, "write JSON" },
};

static const Use show_uses[] = {
        { OPTION_UUIDS, "the devices" },
        { OPTION_UUID, "the UUID of the device" },
        { OPTION_JSON, "write JSON" },
};

static const Use monitor_uses[] = {
        { OPTION_JSON, "write JSON, an object on each line" },
};

static const Use wait_uses[] = {
        { OPTION_UUIDS, "the devices to wait for" },
        { OPTION_UUID, "the UUID of the device" },
        { OPTION_STATE, "until they are so: defined, creating, active (unless given), removing, orphaned or absent",
                        .needs = OPTION_BIT(OPTION_UUIDS) | OPTION_BIT(OPTION_UUID) },
        { OPTION_PARENT, "the parent to wait for",
                        .conflicts = OPTION_BIT(OPTION_UUIDS) | OPTION_BIT(OPTION_UUID),
                        .needs = OPTION_BIT(OPTION_TYPE) },
        { OPTION_TYPE, "the type to wait for", .needs = OPTION_BIT(OPTION_PARENT) },
        { OPTION_AVAILABLE, "until so many instances are left; 1 unless given",
                        .needs = OPTION_BIT(OPTION_PARENT) },
        { OPTION_SETTLED, "wait until autostart is done, as far as it can be",
                        .conflicts = OPTION_BIT(OPTION_UUIDS) | OPTION_BIT(OPTION_UUID) |
                                        OPTION_BIT(OPTION_PARENT) },
        { OPTION_TIMEOUT, "fail when this time has passed; 0 only looks" },
};

static const Use help_uses[] = {
        { OPTION_VERB, "the verb to explain" },
};

const Verb verbs[] = {
        {
                        .name = "define",
                        .synopsis = "-u UUID [-p PARENT -t TYPE] [-a] [OPTION…]\n"
                                    "-p PARENT -t TYPE [-a] [OPTION…]\n"
                                    "[-u UUID] -p PARENT --jsonfile FILE [OPTION…]",
                        .summary = "Define a device, so that it can be started by its UUID",
                        .description = "The parent and the type need not be there. With a UUID alone, that of an\n"
                                       "active device, its parent and type are taken. Running devices are not\n"
                                       "touched.",
                        USES(define_uses),
                        .any_of = OPTION_BIT(OPTION_UUID) | OPTION_BIT(OPTION_PARENT),
                        .run = verb_define,
                        .run_offline = verb_define_offline,
        },
        {
                        .name = "undefine",
                        .synopsis = "-u UUID [-p PARENT] [OPTION…]",
                        .summary = "Remove the definition of a device",
                        .description = "Without a parent all definitions of the UUID are removed. Running devices\n"
                                       "are not touched.",
                        USES(undefine_uses),
                        .required = OPTION_BIT(OPTION_UUID),
                        .run = verb_undefine,
                        .run_offline = verb_undefine_offline,
        },
        {
                        .name = "modify",
                        .synopsis = "-u UUID [-p PARENT] [-t TYPE] [-a | -m] [OPTION…]\n"
                                    "-u UUID [-p PARENT] --addattr NAME --value VALUE [-i INDEX] [OPTION…]\n"
                                    "-u UUID [-p PARENT] --delattr [-i INDEX] [OPTION…]\n"
                                    "-u UUID -p PARENT --jsonfile FILE [OPTION…]\n"
                                    "-u UUID [-p PARENT] --live [-d] --jsonfile FILE [OPTION…]",
                        .summary = "Change the definition of a device",
                        .description = "Attributes are written in their order when the device is started. What a\n"
                                       "file says takes the place of the definition, which need not be there.\n"
                                       "Without '--live' running devices are not touched.",
                        USES(modify_uses),
                        .required = OPTION_BIT(OPTION_UUID),
                        .run = verb_modify,
                        .run_offline = verb_modify_offline,
        },
        {
                        .name = "start",
                        .synopsis = "-u UUID [-p PARENT] [OPTION…]\n"
                                    "[-u UUID] -p PARENT -t TYPE [OPTION…]\n"
                                    "[-u UUID] -p PARENT --jsonfile FILE [OPTION…]\n"
                                    "{UUID… | --all} [-p PARENT] [OPTION…]",
                        .summary = "Start a device: one that is defined, or a transient one",
                        USES(start_uses),
                        .any_of = OPTION_BIT(OPTION_UUID) | OPTION_BIT(OPTION_PARENT) |
                                        OPTION_BIT(OPTION_UUIDS) | OPTION_BIT(OPTION_ALL),
                        .slow = true,
                        .run = verb_start,
        },
        {
                        .name = "start-parent-mdevs",
                        .synopsis = "PARENT",
                        .summary = "Start the devices of a parent that are marked for it",
                        .description = "mdevd does so by itself.",
                        USES(start_parent_uses),
                        .required = OPTION_BIT(OPTION_PARENT_WORD),
                        .hidden = true,
                        .run = verb_start_parent_mdevs,
        },
        {
                        .name = "stop",
                        .synopsis = "-u UUID [OPTION…]\n"
                                    "{UUID… | --all | -p PARENT} [OPTION…]",
                        .summary = "Stop a device",
                        .description = "Its definition stays, if it has one.",
                        USES(stop_uses),
                        .any_of = OPTION_BIT(OPTION_UUID) | OPTION_BIT(OPTION_UUIDS) |
                                        OPTION_BIT(OPTION_ALL) | OPTION_BIT(OPTION_PARENT),
                        .slow = true,
                        .run = verb_stop,
        },
        {
                        .name = "list",
                        .synopsis = "[-d] [-v | --dumpjson] [-u UUID] [-p PARENT]",
                        .summary = "List devices",
                        .description = "With a UUID that is there once, the JSON is the contents of a definition file.",
                        USES(list_uses),
                        .run = verb_list,
                        .run_offline = verb_list,
        },
        {
                        .name = "types",
                        .synopsis = "[-p PARENT] [--dumpjson]",
                        .summary = "List the types of devices that the parents offer",
                        USES(types_uses),
                        .run = verb_types,
                        .run_offline = verb_types,
        },
        {
                        .name = "status",
                        .synopsis = "[--json]",
                        .summary = "Show the daemon, what can be had, what there is, and what waits",
                        USES(json_uses),
                        .run = verb_status,
        },
        {
                        .name = "show",
                        .synopsis = "UUID… [--json]",
                        .summary = "Show everything about a device",
                        USES(show_uses),
                        .any_of = OPTION_BIT(OPTION_UUIDS) | OPTION_BIT(OPTION_UUID),
                        .run = verb_show,
        },
        {
                        .name = "tree",
                        .synopsis = "[--json]",
                        .summary = "Show parents, their types, and the devices of each",
                        USES(json_uses),
                        .run = verb_tree,
        },
        {
                        .name = "monitor",
                        .synopsis = "[--json]",
                        .summary = "Show changes as they happen",
                        USES(monitor_uses),
                        .run = verb_monitor,
        },
        {
                        .name = "wait",
                        .synopsis = "UUID… [--state STATE] [--timeout SECONDS]\n"
                                    "-p PARENT -t TYPE [--available N] [--timeout SECONDS]\n"
                                    "--settled [--timeout SECONDS]",
                        .summary = "Wait until devices are in a state, a parent has something left, or autostart is done",
                        USES(wait_uses),
                        .any_of = OPTION_BIT(OPTION_UUIDS) | OPTION_BIT(OPTION_UUID) |
                                        OPTION_BIT(OPTION_PARENT) | OPTION_BIT(OPTION_SETTLED),
                        .run = verb_wait,
        },
        {
                        .name = "verify",
                        .synopsis = "[--json]",
                        .summary = "Compare definitions, sysfs and the daemon, and tell what is wrong",
                        USES(json_uses),
                        .run = verb_verify,
                        .run_offline = verb_verify,
        },
        {
                        .name = "help",
                        .synopsis = "[VERB]",
                        .summary = "Explain the program, or one verb",
                        USES(help_uses),
                        .run = verb_help,
        },
};

const size_t n_verbs = ELEMENTSOF(verbs);

const Verb *verb_find(const char *name) {
        for (size_t i = 0; i < n_verbs; i++)
                if (streq(verbs[i].name, name))
                        return &verbs[i];

        return NULL;
}
