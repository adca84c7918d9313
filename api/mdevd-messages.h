/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Ids of the journal messages that somebody may want to find or act on (journalctl MESSAGE_ID=…), and the
 * names of the fields that go with them. Both are API: never changed, never used again. Each has an entry in
 * mdevd.catalog. */

/* A device changed its state. Fields: MDEVD_UUID, MDEVD_PARENT, MDEVD_TYPE, MDEVD_STATE, MDEVD_OLD_STATE; and
 * if a request is the cause MDEVD_OPERATION, MDEVD_SENDER_UID, MDEVD_SENDER_PID, MDEVD_SENDER_UNIT, and at
 * its end MDEVD_DURATION_USEC. */
#define MDEVD_MESSAGE_DEVICE_STATE "5d3c1a8e0f5b4b6c9a3e7d2f41c06b91"

/* A definition appeared, changed or went. Fields: MDEVD_UUID. */
#define MDEVD_MESSAGE_DEFINITION "b0e2f6d47c1a4f0e8d5b93a6c7e81f24"

/* A parent appeared or went. Fields: MDEVD_PARENT. */
#define MDEVD_MESSAGE_PARENT "e94f7b2c6d8041a59c1e3f5a7b0d2864"

/* A file where a definition should be is not one. Fields: MDEVD_PATH. */
#define MDEVD_MESSAGE_INVALID_DEFINITION "3fa9d6c15e7b4280b4c8e1f0927d5a36"

/* An operation failed. Fields: MDEVD_UUID, MDEVD_PARENT, MDEVD_TYPE, ERRNO, and the request's as above. */
#define MDEVD_MESSAGE_OPERATION_FAILED "8c7e05d2b1f94a3687d0e6a5f3c49b12"

/* Events were lost, everything is looked at anew. No fields. */
#define MDEVD_MESSAGE_OVERFLOW "71b8e3f5a2c64d09b6f0d7c4e8a1935d"

/* A device that is marked for autostart is not started yet, or will not be. Fields: MDEVD_UUID, MDEVD_PARENT,
 * MDEVD_TYPE, MDEVD_PENDING (what Pending says). */
#define MDEVD_MESSAGE_WAITING "4a9e1d70c5b84f3d96e2a8c0b7f15d43"

/* A device was left half made: its creation was cut off. Fields: MDEVD_UUID, MDEVD_PARENT, MDEVD_TYPE. */
#define MDEVD_MESSAGE_INCOMPLETE "c25f8a0d94e14b7ab3d16e7f08c5a9e2"

/* Changes of the definition files are not seen. No fields. */
#define MDEVD_MESSAGE_NO_WATCH "0b7d52e9f61c4c08a4b9d3e8157fa6c4"

/* A call-out script or notifier printed something on its standard error, or failed. Fields: MDEVD_UUID,
 * MDEVD_SCRIPT. */
#define MDEVD_MESSAGE_SCRIPT "4e6b0a97c3d24f18a5d1e8f06b2c79d3"

/* An operation takes long: the driver, a script or the disk has not returned. Fields: MDEVD_UUID. */
#define MDEVD_MESSAGE_SLOW "d6a4c9e83b0f4175a2e5b8d1f7c36049"
