/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Writer and reader keep their first error and go on doing nothing, so the lists of fields below read as what
 * they are: the format. A string is a u32 of its length plus one (0 stands for NULL), its bytes and a NUL, so
 * that what was received can be used in place and a NUL within is noticed. */

#include "host/wire.h"
#include "model/name.h"

#define FRAME_MAGIC 0x6d646576U /* "mdev" */
#define STRINGS_MAX 65536U      /* elements of a vector of strings */

void request_done(Request *r) {
        definition_done(&r->definition);
        modification_done(&r->modification);
        free(r->text);
        free(r->path);
        (void) strv_free(r->parents);
        capabilities_done(&r->capabilities);
        *r = (Request){};
}

void frame_done(Frame *f) {
        sighting_done(&f->sighting);
        definition_done(&f->definition);
        free(f->path);
        free(f->reason);
        free(f->parent);
        types_done(&f->types);
        attributes_done(&f->attributes);
        capability_done(&f->capability);
        failure_done(&f->failure);
        *f = FRAME_INIT;
}

void buffer_done(Buffer *b) {
        free(b->data);
        *b = (Buffer){};
}

/* Writing */

typedef struct Writer {
        Buffer *buffer;
        size_t begin;
        int error;
} Writer;

static void put(Writer *w, const void *data, size_t size) {
        if (w->error < 0 || size == 0)
                return;
        if (w->buffer->size - w->begin + size > FRAME_SIZE_MAX) {
                w->error = -EFBIG;
                return;
        }

        w->error = grow((void **) &w->buffer->data, &w->buffer->allocated, w->buffer->size + size, 1);
        if (w->error < 0)
                return;
        memcpy(w->buffer->data + w->buffer->size, data, size);
        w->buffer->size += size;
}

static void put_u32(Writer *w, uint32_t v) {
        put(w, &v, sizeof v);
}

static void put_u64(Writer *w, uint64_t v) {
        put(w, &v, sizeof v);
}

static void put_string(Writer *w, const char *s) {
        size_t size = s ? strlen(s) + 1 : 0;

        if (size > FRAME_SIZE_MAX) {
                w->error = -EFBIG;
                return;
        }
        put_u32(w, (uint32_t) size);
        put(w, s, size);
}

static void put_strings(Writer *w, char *const *v) {
        uint32_t n = 0;

        while (v && v[n])
                n++;
        put_u32(w, n);
        for (uint32_t i = 0; i < n; i++)
                put_string(w, v[i]);
}

static void put_attributes(Writer *w, const Attributes *a) {
        put_u32(w, a->n);
        put_u32(w, a->size);
        put(w, a->data, a->size);
}

static void put_definition(Writer *w, const Definition *d) {
        put(w, d->uuid.bytes, sizeof d->uuid.bytes);
        put_u32(w, d->autostart);
        put_string(w, d->parent);
        put_string(w, d->type);
        put_attributes(w, &d->attributes);
}

static void put_modification(Writer *w, const Modification *m) {
        put_string(w, m->type);
        put_u32(w, m->autostart);
        put_u32(w, m->set_attributes);
        put_attributes(w, &m->attributes);
        put_u32(w, m->remove_attribute);
        put_u32(w, m->remove_index);
        put_string(w, m->add_name);
        put_string(w, m->add_value);
        put_u32(w, m->add_index);
}

static void put_sighting(Writer *w, const Sighting *s) {
        put_u32(w, s->presence);
        put_u32(w, (uint32_t) s->iommu_group);
        put_string(w, s->parent);
        put_string(w, s->path);
        put_string(w, s->type);
}

static void put_types(Writer *w, const Types *types) {
        put_u32(w, (uint32_t) types->n);
        for (size_t i = 0; i < types->n; i++) {
                const Type *t = &types->types[i];

                put_string(w, t->name);
                put_string(w, t->label);
                put_string(w, t->device_api);
                put_string(w, t->description);
                put_u32(w, t->available_instances);
        }
}

static void put_capability(Writer *w, const Capability *c) {
        put_string(w, c->type);
        put_string(w, c->script);
        put_u32(w, c->actions);
        put_u32(w, c->events);
}

static void put_capabilities(Writer *w, const Capabilities *c) {
        put_u64(w, c->fingerprint);
        put_u32(w, (uint32_t) c->n);
        for (size_t i = 0; i < c->n; i++)
                put_capability(w, &c->list[i]);
}

static void put_failure(Writer *w, const Failure *f) {
        put_u32(w, f->kind);
        put_u32(w, (uint32_t) f->error);
        put_u32(w, f->index);
        put_u32(w, (uint32_t) f->state);
        put_u32(w, f->has_uuid);
        put(w, f->uuid.bytes, sizeof f->uuid.bytes);
        put_string(w, f->parent);
        put_string(w, f->type);
        put_string(w, f->subject);
        put_string(w, f->detail);
        put_u32(w, (uint32_t) f->rollback_error);
        put_u32(w, f->changed_live);
        put_u32(w, f->changed_store);
}

static Writer begin_frame(Buffer *b, uint32_t kind, OpId op) {
        Writer w = { .buffer = b, .begin = b->size };

        put_u32(&w, FRAME_MAGIC);
        put_u32(&w, kind);
        put_u64(&w, op);
        put_u32(&w, 0);
        return w;
}

static int end_frame(Writer *w) {
        uint32_t size = (uint32_t) (w->buffer->size - w->begin - FRAME_HEADER_SIZE);

        if (w->error < 0)
                w->buffer->size = w->begin;
        else
                memcpy(w->buffer->data + w->begin + FRAME_HEADER_SIZE - sizeof size, &size, sizeof size);

        return w->error;
}

int request_encode(const Request *r, Buffer *b) {
        Writer w = begin_frame(b, r->kind, r->op);

        put_definition(&w, &r->definition);
        put_u32(&w, r->define);
        put_u32(&w, r->wait_for_release);
        put_modification(&w, &r->modification);
        put_string(&w, r->text);
        put_string(&w, r->path);
        put_strings(&w, r->parents);
        put_u32(&w, r->live);
        put_u32(&w, r->direct);
        put_u32(&w, r->force);
        put_u32(&w, r->finish);
        put_u32(&w, r->action);
        put_u32(&w, r->script_timeout_sec);
        put_capabilities(&w, &r->capabilities);
        return end_frame(&w);
}

int frame_encode(const Frame *f, Buffer *b) {
        Writer w = begin_frame(b, f->kind, f->op);

        switch (f->kind) {
        case FRAME_SIGHTING:
                put_sighting(&w, &f->sighting);
                break;
        case FRAME_DEFINITION:
                put_definition(&w, &f->definition);
                put_u32(&w, f->exists);
                break;
        case FRAME_INVALID:
                put_string(&w, f->path);
                put_string(&w, f->reason);
                put_u32(&w, f->spares);
                put_definition(&w, &f->definition);
                break;
        case FRAME_TYPES:
                put_string(&w, f->parent);
                put_types(&w, &f->types);
                break;
        case FRAME_ATTRIBUTES:
                put_attributes(&w, &f->attributes);
                break;
        case FRAME_SCRIPT:
                put_string(&w, f->path);
                put_string(&w, f->reason);
                put_u32(&w, f->failed);
                break;
        case FRAME_CAPABILITY:
                put_u64(&w, f->fingerprint);
                put_capability(&w, &f->capability);
                break;
        case FRAME_ACTION:
                put_definition(&w, &f->definition);
                put_u32(&w, f->action);
                put_u32(&w, f->exists);
                break;
        case FRAME_RESULT:
                put_failure(&w, &f->failure);
                put_u32(&w, f->created);
                put_u32(&w, f->stays);
                break;
        case _FRAME_KIND_MAX:
                w.error = -EINVAL;
        }

        return end_frame(&w);
}

/* Reading */

typedef struct Reader {
        const char *p;
        size_t left;
        int error;
} Reader;

/* The next @size bytes; NULL once there is an error. */
static const char *get(Reader *r, size_t size) {
        const char *p = r->p;

        if (r->error < 0)
                return NULL;
        if (size > r->left) {
                r->error = -EBADMSG;
                return NULL;
        }

        r->p += size;
        r->left -= size;
        return p;
}

static uint32_t get_u32(Reader *r) {
        const char *p = get(r, sizeof(uint32_t));
        uint32_t v = 0;

        if (p)
                memcpy(&v, p, sizeof v);
        return v;
}

static uint64_t get_u64(Reader *r) {
        const char *p = get(r, sizeof(uint64_t));
        uint64_t v = 0;

        if (p)
                memcpy(&v, p, sizeof v);
        return v;
}

static bool get_bool(Reader *r) {
        uint32_t v = get_u32(r);

        if (v > 1)
                r->error = -EBADMSG;
        return v == 1;
}

/* A number below @max, such as an enumeration's. */
static unsigned get_enum(Reader *r, unsigned max) {
        uint32_t v = get_u32(r);

        if (v >= max) {
                r->error = r->error < 0 ? r->error : -EBADMSG;
                return 0;
        }
        return v;
}

static char *get_string(Reader *r) {
        uint32_t size = get_u32(r);
        const char *p;
        char *copy;

        if (size == 0)
                return NULL;
        p = get(r, size);
        if (!p)
                return NULL;
        if (memchr(p, '\0', size) != p + size - 1 || !text_is_utf8(p)) {
                r->error = -EBADMSG;
                return NULL;
        }

        copy = strdup(p);
        if (!copy)
                r->error = -ENOMEM;
        return copy;
}

/* One that must not be NULL; on error the empty string's absence is the caller's end_reading() to notice. */
static char *get_required(Reader *r) {
        char *s = get_string(r);

        if (!s && r->error >= 0)
                r->error = -EBADMSG;
        return s;
}

static char **get_strings(Reader *r) {
        uint32_t n = get_enum(r, STRINGS_MAX);
        char **v;

        if (r->error < 0 || n == 0)
                return NULL;
        v = calloc((size_t) n + 1, sizeof *v);
        if (!v) {
                r->error = -ENOMEM;
                return NULL;
        }

        /* Stops at the first error: what is there so far is a well-formed vector. */
        for (uint32_t i = 0; i < n && r->error >= 0; i++)
                v[i] = get_required(r);
        return v;
}

static void get_uuid(Reader *r, Uuid *ret) {
        const char *p = get(r, sizeof ret->bytes);

        if (p)
                memcpy(ret->bytes, p, sizeof ret->bytes);
}

/* Taken pair by pair, so that every bound and name is checked on this side too. */
static void get_attributes(Reader *r, Attributes *ret) {
        uint32_t n = get_u32(r), size = get_u32(r);
        const char *p = get(r, size), *end = p ? p + size : NULL;

        if (!p)
                return;
        if (size > 0 && end[-1] != '\0') {
                r->error = -EBADMSG;
                return;
        }

        while (p < end && r->error >= 0) {
                const char *value = strchr(p, '\0') + 1;
                int e = value < end ? attributes_append(ret, p, value) : -EINVAL;

                if (e < 0) {
                        r->error = e == -ENOMEM ? e : -EBADMSG;
                        return;
                }
                p = strchr(value, '\0') + 1;
        }
        if (ret->n != n)
                r->error = -EBADMSG;
}

static void get_definition(Reader *r, Definition *ret) {
        get_uuid(r, &ret->uuid);
        ret->autostart = get_bool(r);
        ret->parent = get_string(r);
        ret->type = get_string(r);
        get_attributes(r, &ret->attributes);

        if ((ret->parent && !parent_name_is_valid(ret->parent)) ||
                        (!isempty(ret->type) && !type_name_is_valid(ret->type)))
                r->error = r->error < 0 ? r->error : -EBADMSG;
}

static void get_modification(Reader *r, Modification *ret) {
        ret->type = get_string(r);
        ret->autostart = (Autostart) get_enum(r, _AUTOSTART_MAX);
        ret->set_attributes = get_bool(r);
        get_attributes(r, &ret->attributes);
        ret->remove_attribute = get_bool(r);
        ret->remove_index = get_u32(r);
        ret->add_name = get_string(r);
        ret->add_value = get_string(r);
        ret->add_index = get_u32(r);

        if ((ret->type && !type_name_is_valid(ret->type)) ||
                        (ret->add_name && (!ret->add_value || !attribute_name_is_valid(ret->add_name))))
                r->error = r->error < 0 ? r->error : -EBADMSG;
}

static void get_sighting(Reader *r, Sighting *ret) {
        ret->presence = (Presence) get_enum(r, _PRESENCE_MAX);
        ret->iommu_group = (int) get_u32(r);
        ret->parent = get_string(r);
        ret->path = get_string(r);
        ret->type = get_string(r);

        if (ret->presence != PRESENCE_ABSENT && ret->presence != PRESENCE_UNKNOWN &&
                        (!ret->parent || !ret->path))
                r->error = r->error < 0 ? r->error : -EBADMSG;
}

static void get_types(Reader *r, Types *ret) {
        uint32_t n = get_enum(r, TYPES_MAX + 1);

        if (r->error < 0)
                return;
        ret->types = calloc(MAX(n, 1U), sizeof *ret->types);
        if (!ret->types) {
                r->error = -ENOMEM;
                return;
        }

        for (ret->n = 0; ret->n < n && r->error >= 0; ret->n++) {
                Type *t = &ret->types[ret->n];

                t->name = get_required(r);
                t->label = get_required(r);
                t->device_api = get_required(r);
                t->description = get_required(r);
                t->available_instances = get_u32(r);
        }
}

static void get_capability(Reader *r, Capability *ret) {
        ret->type = get_required(r);
        ret->script = get_string(r);
        ret->actions = get_u32(r);
        ret->events = get_u32(r);
}

static void get_capabilities(Reader *r, Capabilities *ret) {
        uint64_t fingerprint = get_u64(r);
        uint32_t n = get_enum(r, CAPABILITIES_MAX + 1);

        for (uint32_t i = 0; i < n && r->error >= 0; i++) {
                _cleanup_(capability_done) Capability c = {};

                get_capability(r, &c);
                if (r->error >= 0)
                        r->error = capabilities_add(ret, fingerprint, &c);
        }
        if (r->error >= 0 && ret->n != n)
                r->error = -EBADMSG;
        ret->fingerprint = fingerprint;
}

static void get_failure(Reader *r, Failure *ret) {
        ret->kind = (FailureKind) get_enum(r, _FAILURE_MAX);
        ret->error = (int) get_u32(r);
        ret->index = get_u32(r);
        ret->state = (int) get_u32(r);
        ret->has_uuid = get_bool(r);
        get_uuid(r, &ret->uuid);
        ret->parent = get_string(r);
        ret->type = get_string(r);
        ret->subject = get_string(r);
        ret->detail = get_string(r);
        ret->rollback_error = (int) get_u32(r);
        ret->changed_live = get_bool(r);
        ret->changed_store = get_bool(r);

        if (ret->error < 0 || ret->state < -1 || ret->state >= _DEVICE_STATE_MAX)
                r->error = r->error < 0 ? r->error : -EBADMSG;
}

/* Return: 1 with a reader over the payload; 0; -EBADMSG. */
static int begin_reading(const char *data, size_t size, unsigned kind_max, unsigned *ret_kind, OpId *ret_op,
                Reader *ret) {
        Reader header = { .p = data, .left = size };
        uint32_t payload;

        if (size < FRAME_HEADER_SIZE)
                return 0;

        if (get_u32(&header) != FRAME_MAGIC)
                return -EBADMSG;
        *ret_kind = get_enum(&header, kind_max);
        *ret_op = get_u64(&header);
        payload = get_u32(&header);
        if (header.error < 0 || payload > FRAME_SIZE_MAX)
                return -EBADMSG;
        if (header.left < payload)
                return 0;

        *ret = (Reader){ .p = header.p, .left = payload };
        return 1;
}

static int end_reading(const Reader *r) {
        return r->error < 0 ? r->error : r->left > 0 ? -EBADMSG : 0;
}

int request_decode(const char *data, size_t size, Request *ret, size_t *ret_used) {
        _cleanup_(request_done) Request request = {};
        unsigned kind;
        Reader r;
        int rc;

        rc = begin_reading(data, size, _REQUEST_KIND_MAX, &kind, &request.op, &r);
        if (rc <= 0)
                return rc;

        *ret_used = FRAME_HEADER_SIZE + r.left;
        request.kind = (RequestKind) kind;
        get_definition(&r, &request.definition);
        request.define = get_bool(&r);
        request.wait_for_release = get_bool(&r);
        get_modification(&r, &request.modification);
        request.text = get_string(&r);
        request.path = get_string(&r);
        request.parents = get_strings(&r);
        request.live = get_bool(&r);
        request.direct = get_bool(&r);
        request.force = get_bool(&r);
        request.finish = get_bool(&r);
        request.action = (ScriptAction) get_enum(&r, _SCRIPT_ACTION_MAX);
        request.script_timeout_sec = get_u32(&r);
        get_capabilities(&r, &request.capabilities);

        rc = end_reading(&r);
        if (rc < 0)
                return rc;

        *ret = request;
        request = (Request){};
        return 1;
}

int frame_decode(const char *data, size_t size, Frame *ret, size_t *ret_used) {
        _cleanup_(frame_done) Frame frame = FRAME_INIT;
        unsigned kind, spares;
        Reader r;
        int rc;

        rc = begin_reading(data, size, _FRAME_KIND_MAX, &kind, &frame.op, &r);
        if (rc <= 0)
                return rc;

        *ret_used = FRAME_HEADER_SIZE + r.left;
        frame.kind = (FrameKind) kind;
        switch (frame.kind) {
        case FRAME_SIGHTING:
                get_sighting(&r, &frame.sighting);
                break;
        case FRAME_DEFINITION:
                get_definition(&r, &frame.definition);
                frame.exists = get_bool(&r);
                if (r.error >= 0 && (!frame.definition.parent || (frame.exists && !frame.definition.type)))
                        r.error = -EBADMSG;
                break;
        case FRAME_INVALID:
                frame.path = get_required(&r);
                frame.reason = get_required(&r);
                spares = get_u32(&r);
                get_definition(&r, &frame.definition);
                if (r.error >= 0 &&
                                (spares >= _SPARES_MAX ||
                                                ((spares == SPARES_FILE || spares == SPARES_DIRECTORY) &&
                                                                !frame.definition.parent)))
                        r.error = -EBADMSG;
                else
                        frame.spares = (Spares) spares;
                break;
        case FRAME_TYPES:
                frame.parent = get_required(&r);
                get_types(&r, &frame.types);
                break;
        case FRAME_ATTRIBUTES:
                get_attributes(&r, &frame.attributes);
                break;
        case FRAME_SCRIPT:
                frame.path = get_required(&r);
                frame.reason = get_required(&r);
                frame.failed = get_bool(&r);
                break;
        case FRAME_CAPABILITY:
                frame.fingerprint = get_u64(&r);
                get_capability(&r, &frame.capability);
                break;
        case FRAME_ACTION:
                get_definition(&r, &frame.definition);
                frame.action = (ScriptAction) get_enum(&r, _SCRIPT_ACTION_MAX);
                frame.exists = get_bool(&r);
                if (r.error >= 0 && (!frame.definition.parent || !frame.definition.type))
                        r.error = -EBADMSG;
                break;
        case FRAME_RESULT:
                get_failure(&r, &frame.failure);
                frame.created = get_bool(&r);
                frame.stays = get_bool(&r);
                break;
        case _FRAME_KIND_MAX:
                return -EBADMSG;
        }

        rc = end_reading(&r);
        if (rc < 0)
                return rc;

        *ret = frame;
        frame = FRAME_INIT;
        return 1;
}
