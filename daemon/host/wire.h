/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What passes between the daemon and a worker: values, each in a frame with a length, a kind and the
 * operation's id. Both ends are of the same build on the same machine (the daemon holds its worker's
 * executable open over upgrades), so numbers have the machine's own form; all the same nothing that is read
 * is believed before it is checked.
 *
 * A frame: u32 magic, u32 kind, u64 operation, u32 size of the payload, payload. */

#include "model/capabilities.h"
#include "model/definition.h"
#include "model/failure.h"
#include "model/modification.h"
#include "model/parent.h"
#include "model/registry.h"
#include "model/sighting.h"

#define FRAME_SIZE_MAX (4U * 1024U * 1024U) /* a parent's types at their bounds; requests are far smaller */
#define FRAME_HEADER_SIZE 20U

/* Of a worker that had no memory to hear what is wanted, or to say what came of it. */
#define WORKER_EXIT_NO_MEMORY 71

/* Requests: daemon to worker, one for a worker's whole life. */
typedef enum RequestKind {
        REQUEST_CREATE, /* definition: parent, type, attributes; also written to disk if @define */
        REQUEST_REMOVE, /* definition.parent: whose it must be; @path; @wait_for_release */
        REQUEST_DEFINE, /* definition; @text */
        REQUEST_MODIFY, /* definition.parent; @modification, or with @text the whole definition; with @live of
                           the active device, whose type definition.type is then, and of what is on disk only
                           with @define */
        REQUEST_UNDEFINE, /* @parents */
        REQUEST_LOOK,  /* @path: see what is there of the device and of its files, after the lock is free; and
                          with
                          @finish tell scripts of the failure of @action on the definition, which they had let
                          begin */
        REQUEST_SCAN,  /* @parents: places to read files at (see there); NULL: all */
        REQUEST_TYPES, /* @parents: read their types */
        REQUEST_ATTRIBUTES, /* definition: parent, type: have a script tell the attributes of an active device
                             */
        _REQUEST_KIND_MAX,
} RequestKind;

typedef struct Request {
        RequestKind kind;
        OpId op;
        Definition definition; /* uuid always; the rest as the kind says */
        bool define;
        bool wait_for_release; /* remove also what somebody has open, and wait until it is closed */
        Modification modification;
        char *text; /* JSON that the definition came from, for the keys that are not ours; NULL if from none
                     */
        char *path; /* where the device was last; NULL if not known */
        char **parents; /* NULL-terminated; NULL if the kind takes none. Of a scan: "<parent>/<file>"
                         * (and all others there that name the same UUID), "<parent>/" for all files there,
                         * "/<uuid>" for all of that device */
        bool live;
        bool direct; /* with @live: where no script can do it, write the attributes */

        /* For those that run scripts. */
        bool finish;
        ScriptAction action;
        bool force; /* go on although one refuses */
        uint32_t script_timeout_sec;
        Capabilities capabilities; /* what is known of them */
} Request;

void request_done(Request *r);

/* Results: worker to daemon, any number, the last that counts being FRAME_RESULT; types may follow it. */
typedef enum FrameKind {
        FRAME_SIGHTING,   /* sighting */
        FRAME_DEFINITION, /* definition: what a file says; or without @exists, that there is none (uuid,
                             parent) */
        FRAME_INVALID,    /* path, reason: a file that says nothing; and @spares */
        FRAME_TYPES,      /* parent, types */
        FRAME_ATTRIBUTES, /* attributes */
        FRAME_SCRIPT,     /* path, reason: what a script said; failed: it did */
        FRAME_CAPABILITY, /* fingerprint, capability: what was found out about the scripts of a type */
        FRAME_ACTION, /* definition, action: with @exists scripts let it begin, without they know of its end
                       */
        FRAME_RESULT, /* failure; created: a device was made and is there; stays: another request can be sent
                       */
        _FRAME_KIND_MAX,
} FrameKind;

/* Of what could not be read it is not known that it is gone: what was known of it stands. */
typedef enum Spares {
        SPARES_NOTHING,
        SPARES_FILE,      /* definition: uuid, parent */
        SPARES_DIRECTORY, /* definition: parent */
        SPARES_ALL,
        _SPARES_MAX,
} Spares;

typedef struct Frame {
        FrameKind kind;
        OpId op;
        Sighting sighting;
        Definition definition;
        bool exists;
        char *path;
        char *reason;
        Spares spares;
        char *parent;
        Types types;
        Attributes attributes;
        bool failed;
        ScriptAction action;
        uint64_t fingerprint;
        Capability capability;
        Failure failure;
        bool created;
        bool stays;
} Frame;

#define FRAME_INIT ((Frame){ .sighting = SIGHTING_INIT, .failure = FAILURE_INIT })

void frame_done(Frame *f);

/* Encoding appends one whole frame to a buffer. Return: 0; -ENOMEM; -EFBIG beyond FRAME_SIZE_MAX. On error
 * the buffer is what it was. */
typedef struct Buffer {
        char *data;
        size_t size;
        size_t allocated;
} Buffer;

void buffer_done(Buffer *b);

int request_encode(const Request *r, Buffer *b);
int frame_encode(const Frame *f, Buffer *b);

/**
 * frame_decode() - take the first frame off a sequence of bytes
 * @data, @size: what has been received so far
 * @ret:         overwritten on success only; owned by the caller
 * @ret_used:    how many bytes the frame had
 *
 * Return: 1; 0 if it is not complete yet; -EBADMSG if it never will be a frame; -ENOMEM.
 */
int frame_decode(const char *data, size_t size, Frame *ret, size_t *ret_used);
int request_decode(const char *data, size_t size, Request *ret, size_t *ret_used);
