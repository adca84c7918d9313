/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The names of mdevd's D-Bus API, for the daemon and for clients in C. The contract itself is
 * org.mdevd1.*.xml. */

#define MDEVD_BUS_NAME "org.mdevd1"
#define MDEVD_PATH "/org/mdevd1"
#define MDEVD_DEVICE_PATH                                                                                  \
        MDEVD_PATH "/device"                   /* one object below it for each UUID, dashes as underscores \
                                                */
#define MDEVD_PARENT_PATH MDEVD_PATH "/parent" /* one below it for each parent, by sd_bus_path_encode() */

#define MDEVD_MANAGER_INTERFACE "org.mdevd1.Manager"
#define MDEVD_DEVICE_INTERFACE "org.mdevd1.Device"
#define MDEVD_PARENT_INTERFACE "org.mdevd1.Parent"

#define MDEVD_ERROR_PREFIX "org.mdevd1.Error."
#define MDEVD_ERROR_EXISTS MDEVD_ERROR_PREFIX "Exists"
#define MDEVD_ERROR_TRY_AGAIN MDEVD_ERROR_PREFIX "TryAgain"
#define MDEVD_ERROR_NOT_FOUND MDEVD_ERROR_PREFIX "NotFound"
#define MDEVD_ERROR_NOT_ACTIVE MDEVD_ERROR_PREFIX "NotActive"
#define MDEVD_ERROR_PARENT_ABSENT MDEVD_ERROR_PREFIX "ParentAbsent"
#define MDEVD_ERROR_NO_SUCH_TYPE MDEVD_ERROR_PREFIX "NoSuchType"
#define MDEVD_ERROR_NO_CAPACITY MDEVD_ERROR_PREFIX "NoCapacity"
#define MDEVD_ERROR_IN_USE MDEVD_ERROR_PREFIX "InUse"
#define MDEVD_ERROR_ORPHANED MDEVD_ERROR_PREFIX "Orphaned"
#define MDEVD_ERROR_PENDING MDEVD_ERROR_PREFIX "Pending"
#define MDEVD_ERROR_KERNEL MDEVD_ERROR_PREFIX "Kernel"
#define MDEVD_ERROR_ATTRIBUTE MDEVD_ERROR_PREFIX "Attribute"
#define MDEVD_ERROR_CALL_OUT MDEVD_ERROR_PREFIX "CallOut"
#define MDEVD_ERROR_STORE MDEVD_ERROR_PREFIX "Store"
#define MDEVD_ERROR_INVALID_DEFINITION MDEVD_ERROR_PREFIX "InvalidDefinition"
#define MDEVD_ERROR_AMBIGUOUS MDEVD_ERROR_PREFIX "Ambiguous"
#define MDEVD_ERROR_LIMITS_EXCEEDED MDEVD_ERROR_PREFIX "LimitsExceeded"

/* polkit actions. Their details: uuid, parent, type; each empty if the request is about none or about
 * several. */
#define MDEVD_ACTION_DEFINE "org.mdevd1.define"
#define MDEVD_ACTION_START_STOP "org.mdevd1.start-stop"
#define MDEVD_ACTION_RESCAN "org.mdevd1.rescan"
