/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A table of sentences with gaps. {uuid} and its like stand for what the failure says; what is in [brackets]
 * is left out if a gap within it is empty. Each sentence says what is the matter, with whom, and what to do
 * about it. */

#include <stdio.h>

#include "api/mdevd-names.h"
#include "bus/error.h"
#include "model/registry.h"

typedef struct Wording {
        const char *name;
        const char *sentence;
} Wording;

static const Wording wordings[_FAILURE_MAX] = {
        [FAILURE_NONE] = { SD_BUS_ERROR_FAILED, "No failure." },

        [FAILURE_EXISTS] = { MDEVD_ERROR_EXISTS,
                        "Device {uuid} exists already: it is {state}[ on parent {parent}][, type {type}]. Choose "
                        "another UUID, or stop that device first." },
        [FAILURE_EXISTS_DEFINED] = { MDEVD_ERROR_EXISTS,
                        "Device {uuid} is defined on parent {parent} already[, type {type}]. Modify or "
                        "undefine it, or choose another UUID." },
        [FAILURE_EXISTS_ELSEWHERE] = { MDEVD_ERROR_EXISTS,
                        "Device {uuid} is defined on parent {parent} already[, type {type}]. Choose another "
                        "UUID, or give the option \"alternate\" if it is to have a second definition." },
        [FAILURE_EXISTS_IN_KERNEL] = { MDEVD_ERROR_EXISTS,
                        "The kernel says that UUID {uuid} is taken[ ({errno})], but shows no such device: "
                        "somebody else is creating or removing it. Try again, or choose another UUID." },
        [FAILURE_EXISTS_ON_DISK] = { MDEVD_ERROR_EXISTS,
                        "{subject} exists already and is not a definition that mdevd knows. Look at the file, "
                        "and remove or mend it." },

        [FAILURE_BEING_CREATED] = { MDEVD_ERROR_TRY_AGAIN,
                        "Device {uuid} is being created[ on parent {parent}]. Try again when that is over." },
        [FAILURE_BEING_REMOVED] = { MDEVD_ERROR_TRY_AGAIN,
                        "Device {uuid} is being removed[ from parent {parent}]. Try again when that is over." },
        [FAILURE_BUSY] = { MDEVD_ERROR_TRY_AGAIN,
                        "Another operation on device {uuid} is under way. Try again when it is over." },
        [FAILURE_CHANGED_MEANWHILE] = { MDEVD_ERROR_TRY_AGAIN,
                        "Device {uuid} has changed since the request was made. Try again." },

        [FAILURE_NO_SUCH_DEVICE] = { MDEVD_ERROR_NOT_FOUND,
                        "There is no device {uuid}, neither defined nor active. ListDevices shows all." },
        [FAILURE_NO_SUCH_DEFINITION] = { MDEVD_ERROR_NOT_FOUND,
                        "Device {uuid} has no definition[ on parent {parent}]. Define it first; to start "
                        "a device without a definition use Create." },
        [FAILURE_NO_SUCH_PARENT] = { MDEVD_ERROR_NOT_FOUND,
                        "There is no parent {parent}. ListParents shows all." },
        [FAILURE_NOT_ACTIVE] = { MDEVD_ERROR_NOT_ACTIVE,
                        "Device {uuid} is not active[ on parent {parent}]. Start it first." },
        [FAILURE_AMBIGUOUS] = { MDEVD_ERROR_AMBIGUOUS,
                        "Device {uuid} has several definitions, on parents {detail}. Say which parent is meant." },
        [FAILURE_ORPHANED] = { MDEVD_ERROR_ORPHANED,
                        "Device {uuid}[ on parent {parent}] is orphaned: the kernel has withdrawn its \"remove\" file. "
                        "Only the parent's driver can free it, by being unbound from the parent or unloaded." },
        [FAILURE_PARENT_ABSENT] = { MDEVD_ERROR_PARENT_ABSENT,
                        "Parent {parent} is not there, or offers no mediated devices now[; device {uuid}]. Is its "
                        "driver loaded? ListParents shows the parents." },
        [FAILURE_TOO_MANY] = { MDEVD_ERROR_LIMITS_EXCEEDED, "Too many {subject}: the limit is {index}." },

        [FAILURE_BAD_UUID] = { SD_BUS_ERROR_INVALID_ARGS,
                        "\"{subject}\" is not a UUID. Give 32 hexadecimal digits, with or without dashes." },
        [FAILURE_BAD_PARENT] = { SD_BUS_ERROR_INVALID_ARGS,
                        "\"{subject}\" is not the name of a parent. It is one path component, as ListParents shows "
                        "it, such as 0000:3b:00.0." },
        [FAILURE_BAD_TYPE] = { SD_BUS_ERROR_INVALID_ARGS,
                        "\"{subject}\" is not the name of a type. It is one path component, as ListTypes shows it, "
                        "such as nvidia-35." },
        [FAILURE_BAD_ATTRIBUTE] = { SD_BUS_ERROR_INVALID_ARGS,
                        "Attribute {index}, \"{subject}\", is not valid: {detail}." },
        [FAILURE_BAD_INDEX] = { SD_BUS_ERROR_INVALID_ARGS,
                        "Device {uuid}[ on parent {parent}] has no attribute {index} in its definition. Indexes begin at 0; 4294967295 stands for the end." },
        [FAILURE_BAD_OPTION] = { SD_BUS_ERROR_INVALID_ARGS, "Option \"{subject}\" is not valid: {detail}." },
        [FAILURE_UNDERSPECIFIED] = { SD_BUS_ERROR_INVALID_ARGS,
                        "No {subject} is given, and none follows from what is known[ of device {uuid}]. Give "
                        "one." },

        [FAILURE_NO_SUCH_TYPE] = { MDEVD_ERROR_NO_SUCH_TYPE,
                        "Parent {parent} does not offer type {type}[; device {uuid}]. ListTypes shows what it "
                        "offers." },
        [FAILURE_NO_CAPACITY] = { MDEVD_ERROR_NO_CAPACITY,
                        "No instance of type {type} is left[ on parent {parent}] for device {uuid}[ ({errno})]. Stop "
                        "another device, or choose another parent or type." },
        [FAILURE_IN_USE] = { MDEVD_ERROR_IN_USE,
                        "Device {uuid}[ on parent {parent}][, type {type}] is in use[ by {detail}]. Close it there first; with the option \"wait-for-release\" the removal waits for that." },
        [FAILURE_KERNEL] = { MDEVD_ERROR_KERNEL,
                        "The kernel could not {subject} device {uuid}[ on parent {parent}][, type {type}]: {errno}.[ Its "
                        "log says: \"{detail}\".]" },
        [FAILURE_ATTRIBUTE] = { MDEVD_ERROR_ATTRIBUTE,
                        "Attribute {index}, \"{subject}\", of device {uuid}[ on parent {parent}][, type {type}] was "
                        "refused: {errno}.[ The kernel's log says: \"{detail}\".]" },
        [FAILURE_LIVE_ATTRIBUTE] = { MDEVD_ERROR_ATTRIBUTE,
                        "Attribute {index}, \"{subject}\", of active device {uuid}[ on parent {parent}][, type {type}] "
                        "was refused: {errno}. The attributes before it, {index} in number, have been written, and none "
                        "behind it.[ The kernel's log says: \"{detail}\".]" },
        [FAILURE_NOT_LIVE] = { SD_BUS_ERROR_NOT_SUPPORTED,
                        "No call-out script can change device {uuid}[ on parent {parent}][, type {type}] while it is "
                        "active. The option \"direct\" writes its attributes to the driver instead." },
        [FAILURE_INVALID_DEFINITION] = { MDEVD_ERROR_INVALID_DEFINITION,
                        "This is not a valid definition[ ({subject})]: {detail}." },
        [FAILURE_STORE] = { MDEVD_ERROR_STORE,
                        "{subject} could not be read or written[, for device {uuid}]: {errno}." },
        [FAILURE_CALL_OUT] = { MDEVD_ERROR_CALL_OUT,
                        "Call-out script {subject} refused device {uuid}[ on parent {parent}][, type {type}]. The "
                        "option \"force\" goes on in spite of that. The script: {detail}" },
        [FAILURE_SCRIPT] = { MDEVD_ERROR_CALL_OUT,
                        "Call-out script {subject} failed for device {uuid}[ on parent {parent}][, type {type}]. "
                        "The script: {detail}" },
        [FAILURE_WORKER] = { SD_BUS_ERROR_FAILED,
                        "The worker process for device {uuid}[ on parent {parent}][, type {type}] failed[: {detail}][ ({errno})]. "
                        "What is shown of the device is what is there now." },
        [FAILURE_INCOMPLETE] = { SD_BUS_ERROR_FAILED,
                        "Device {uuid}[ on parent {parent}][, type {type}] is there, but whoever created it was "
                        "interrupted before all its attributes were set. Do not use it: stop it, and start it again." },
        [FAILURE_PENDING] = { MDEVD_ERROR_PENDING,
                        "The work on device {uuid}[ on parent {parent}] is not done yet, and goes on. Signals tell of its end." },
        [FAILURE_CANCELLED] = { MDEVD_ERROR_PENDING,
                        "mdevd is stopping. What was begun on device {uuid} goes on without it." },
        [FAILURE_NO_MEMORY] = { SD_BUS_ERROR_NO_MEMORY, "Not enough memory." },
};

/* Makes text of one gap. Return: whether it is not empty. */
static bool write_gap(FILE *out, const char *name, size_t length, const Failure *f) {
        const struct {
                const char *name, *value;
        } strings[] = {
                { "parent", f->parent },
                { "type", f->type },
                { "subject", f->subject },
                { "detail", f->detail },
                { "state", f->state >= 0 ? device_state_to_string((DeviceState) f->state) : NULL },
                { "uuid", f->has_uuid ? UUID_TEXT(&f->uuid) : NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(strings); i++)
                if (strlen(strings[i].name) == length && memcmp(strings[i].name, name, length) == 0) {
                        fputs(strempty(strings[i].value), out);
                        return !isempty(strings[i].value);
                }

        if (length == strlen("index") && memcmp(name, "index", length) == 0) {
                fprintf(out, "%u", f->index);
                return true;
        }

        /* "errno": the kernel's or the disk's own, not the one that merely goes with the kind. */
        if (f->error == 0)
                return false;
        fprintf(out, "%s (%s, errno %d)", strerror(f->error), errno_name(f->error) ?: "no name", f->error);
        return true;
}

/* Writes from @p to the end, or to the closing bracket. Return: where it stopped; *@complete: no gap was
 * empty. */
static const char *write_part(FILE *out, const char *p, const Failure *f, bool *complete) {
        *complete = true;

        while (*p != '\0' && *p != ']') {
                if (*p == '{') {
                        size_t length = strcspn(p, "}");

                        if (!write_gap(out, p + 1, length - 1, f))
                                *complete = false;
                        p += length + 1;
                } else if (*p == '[') {
                        _cleanup_(freep) char *text = NULL;
                        bool whole = false;
                        size_t size;
                        FILE *part;

                        part = open_memstream(&text, &size);
                        if (!part)
                                return strchr(p, '\0');
                        p = write_part(part, p + 1, f, &whole);
                        p += *p == ']';
                        if (fclose(part) == 0 && whole)
                                fputs(text, out);
                } else
                        fputc(*p++, out);
        }

        return p;
}

char *error_sentence(const Failure *f) {
        char *text = NULL;
        bool complete;
        size_t size;
        FILE *out;

        out = open_memstream(&text, &size);
        if (!out)
                return NULL;

        (void) write_part(out, wordings[f->kind].sentence, f, &complete);
        if (f->rollback_error > 0)
                fprintf(out, " It could not be undone either: %s. The device may still be there.",
                                strerror(f->rollback_error));
        else if (f->kind == FAILURE_ATTRIBUTE)
                fputs(" The device has been removed again.", out);
        if (f->changed_store)
                fputs(" It could not be undone either: the definitions may have changed. Look at them before the "
                      "next attempt.",
                                out);
        if (f->changed_live)
                fputs(" The active device has been changed, and stays so.", out);
        if ((f->kind == FAILURE_STORE || f->kind == FAILURE_NO_MEMORY) && f->rollback_error == 0 &&
                        !f->changed_store && !f->changed_live)
                fputs(" Nothing has changed.", out);
        if (fclose(out) != 0) {
                free(text);
                return NULL;
        }

        return text;
}

const char *error_name(const Failure *f) {
        return wordings[f->kind].name;
}

int error_set(sd_bus_error *error, const Failure *f) {
        _cleanup_(freep) char *sentence = error_sentence(f);

        return sd_bus_error_set(error, error_name(f), sentence ?: "Not enough memory to say what is wrong.");
}

int error_of_reading(sd_bus_error *error, int r) {
        if (r != -EBADMSG || sd_bus_error_is_set(error))
                return r;
        return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
                        "A text in the call has what is no character, such as U+FFFE.");
}
