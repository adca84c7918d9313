/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mdevsim: a parent driver of mediated devices for tests
 *
 * main.c     parents: PCI and platform devices, binding, registration
 * device.c   one mediated device: capacity, injected faults, open and close
 * attrs.c    its vendor attributes
 * debugfs.c  knobs, counters and the history
 * glue.c     everything that depends on the version of the kernel's mdev and
 *            vfio interfaces; the only place with LINUX_VERSION_CODE
 */
#ifndef MDEVSIM_SIM_H
#define MDEVSIM_SIM_H

#include <linux/atomic.h>
#include <linux/device.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

struct dentry;
struct pci_driver;
struct platform_device;
struct platform_driver;
struct sim_parent;
struct sim_reg;

/* Values that a test writes, one debugfs file each, per parent. */
enum sim_knob_id {
	SIM_CREATE_DELAY_MS,
	SIM_CREATE_KILLABLE,
	SIM_CREATE_ERRNO,
	SIM_CREATE_ERRNO_COUNT,
	SIM_CREATE_BLOCK,
	SIM_REMOVE_DELAY_MS,
	SIM_REMOVE_BLOCK,
	SIM_OPEN_ERRNO,
	SIM_ATTR_ERRNO,
	SIM_ATTR_DELAY_MS,
	SIM_TYPES_DELAY_MS,
	SIM_REGISTER_DELAY_MS,
	SIM_LIMIT,
	SIM_CAPACITY,
	SIM_HIDE,
	SIM_KNOBS,
};

/* Values of the knob SIM_CREATE_KILLABLE: what may end a delayed create. */
enum {
	SIM_WAIT_UNINTERRUPTIBLE,
	SIM_WAIT_KILLABLE,
	SIM_WAIT_INTERRUPTIBLE,
};

/* Values of the knob SIM_CAPACITY: who keeps the number of instances. */
enum {
	SIM_CAPACITY_CORE,
	SIM_CAPACITY_POOL,
};

enum sim_counter_id {
	/* Totals since the last reset */
	SIM_CREATES,
	SIM_CREATE_FAILURES,
	SIM_REMOVES,
	SIM_OPENS,
	SIM_REQUESTS,
	SIM_PEAK_CREATES,
	SIM_PEAK_REMOVES,
	/* Gauges: what is going on now; a reset leaves them alone */
	SIM_CREATING,
	SIM_REMOVING,
	SIM_LIVE,
	SIM_COUNTERS,
};

struct sim_knob {
	struct sim_parent *sp;
	enum sim_knob_id id;
	unsigned int value;
};

/**
 * struct sim_kind - a type of mediated device
 * @name:   sysfs name without the driver's prefix
 * @pretty: content of the type's "name" file, or NULL for the core's default
 * @weight: units it takes from a pool; the core counts every device as one
 * @vfio:   whether it registers a vfio device (and so gets an iommu group)
 */
struct sim_kind {
	const char *name;
	const char *pretty;
	unsigned int weight;
	bool vfio;
};

#define SIM_KINDS 3
extern const struct sim_kind sim_kinds[SIM_KINDS];

/**
 * struct sim_parent - what is known under the name of a parent device
 *
 * It is found by name and outlives the binding of the device, so that knobs
 * and counters survive unbind, hot-unplug and re-registration. A parent that
 * was added through debugfs dies when it is deleted there, any other one when
 * the module goes.
 */
struct sim_parent {
	struct list_head node;
	char *name;
	unsigned int index;
	struct platform_device *pdev;	/* only if added through debugfs */
	struct dentry *dir;

	struct mutex reg_lock;		/* protects dev and reg, serializes
					 * registration and unregistration
					 */
	struct device *dev;		/* NULL while not bound */
	struct sim_reg *reg;		/* NULL while not registered */

	wait_queue_head_t wait;		/* woken by every write to a knob */
	struct sim_knob knobs[SIM_KNOBS];
	atomic_t counters[SIM_COUNTERS];

	spinlock_t lock;		/* protects used, create_errno(_count) */
	unsigned int used;		/* units taken from the limit */

	struct mutex history_lock;
	char *history;
	size_t history_len;
};

#define SIM_TEXT_MAX	64
#define SIM_PARAMS_MAX	1024
#define SIM_VALUES	256

/**
 * struct sim_mdev - one mediated device
 *
 * Exists from the begin of the driver's part of its creation to the end of
 * the driver's part of its removal. The fields below the name are protected
 * by sim_attr_lock.
 */
struct sim_mdev {
	struct sim_parent *sp;
	const struct sim_kind *kind;
	unsigned int units;		/* taken from the parent's limit */
	void *vdev;			/* glue.c's vfio device, or NULL */
	char name[40];			/* UUID */

	bool open;
	bool enable;
	unsigned int level;
	unsigned int clamp;
	bool once_set;
	char once[SIM_TEXT_MAX];
	char quiet[SIM_TEXT_MAX];
	char fail[SIM_TEXT_MAX];
	char slow[SIM_TEXT_MAX];
	char params[SIM_PARAMS_MAX];
	size_t log_len;
	char log[PAGE_SIZE];
};

static inline unsigned int sim_knob(struct sim_parent *sp, enum sim_knob_id id)
{
	return READ_ONCE(sp->knobs[id].value);
}

/* main.c */
extern struct mutex sim_parents_lock;
extern struct list_head sim_parents;
extern bool sim_exiting;

int sim_bind(struct device *dev);
void sim_unbind(struct device *dev);
int sim_parent_set_registered(struct sim_parent *sp, bool on);
int sim_parent_add(const char *name, int capacity);
int sim_parent_del(const char *name);
void sim_parent_reset(struct sim_parent *sp);

/* device.c */
int sim_wait(struct sim_parent *sp, enum sim_knob_id delay, int block, int mode);
unsigned int sim_available(struct sim_parent *sp, unsigned int units);
ssize_t sim_describe(struct sim_parent *sp, const struct sim_kind *kind, char *buf);
struct sim_mdev *sim_mdev_create(struct sim_parent *sp, const struct sim_kind *kind,
				 const char *name, unsigned int units, int full_errno);
void sim_mdev_created(struct sim_mdev *sm);
void sim_mdev_abort(struct sim_mdev *sm, int error);
void sim_mdev_remove_begin(struct sim_mdev *sm);
void sim_mdev_remove_end(struct sim_mdev *sm);
int sim_mdev_open(struct sim_mdev *sm);
void sim_mdev_close(struct sim_mdev *sm);
void sim_mdev_request(struct sim_mdev *sm);
long sim_mdev_ioctl(struct sim_mdev *sm, unsigned int cmd, unsigned long arg);

/* attrs.c */
extern struct mutex sim_attr_lock;
extern const struct attribute_group *sim_mdev_groups[];
void sim_attrs_release(struct sim_mdev *sm);

/* debugfs.c */
int sim_debugfs_init(void);
void sim_debugfs_exit(void);
int sim_debugfs_add(struct sim_parent *sp);
void sim_debugfs_remove(struct sim_parent *sp);
bool sim_name_is_valid(const char *name);
__printf(2, 3) void sim_history(struct sim_parent *sp, const char *fmt, ...);

/* glue.c */
int sim_glue_init(void);
void sim_glue_exit(void);
struct sim_reg *sim_glue_register(struct sim_parent *sp, struct device *dev);
void sim_glue_unregister(struct sim_reg *reg);
int sim_glue_change_limit(struct sim_reg *reg, unsigned int from, unsigned int to);
struct sim_mdev *sim_glue_mdev(struct device *dev);
extern struct platform_driver sim_platform_driver;

#endif
