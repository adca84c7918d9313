// SPDX-License-Identifier: GPL-2.0-only
/*
 * mdevsim: the life of one mediated device
 *
 * The driver's part of a creation takes units from the parent's pool (if the
 * parent is limited by the driver), then waits as long as the knobs say, then
 * fails if they say so. The driver's part of a removal first gives up the vfio
 * device, as real drivers do, which waits for its users; then it waits as the
 * knobs say, and only then gives back its values and its units.
 */
#include <linux/jiffies.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include "sim.h"

/* Wake up often enough to stay below the detector of hung tasks. */
#define WAIT_SLICE (10 * HZ)

/* Delays are at most an hour, so this difference cannot wrap. */
static long sim_time_left(struct sim_parent *sp, unsigned long start, enum sim_knob_id delay)
{
	return (long)(start + msecs_to_jiffies(sim_knob(sp, delay)) - jiffies);
}

static bool sim_wait_over(struct sim_parent *sp, unsigned long start,
			  enum sim_knob_id delay, int block)
{
	if (READ_ONCE(sim_exiting))
		return true;
	if (block >= 0 && sim_knob(sp, block))
		return false;
	return sim_time_left(sp, start, delay) <= 0;
}

/**
 * sim_wait() - wait as long as the knobs of a parent say
 * @sp:    parent
 * @delay: knob with the delay in milliseconds, counted from the call
 * @block: knob that has to be 0 as well, or negative
 * @mode:  SIM_WAIT_*
 *
 * The knobs are read anew at every change, so that lowering one ends a wait
 * that is under way.
 *
 * Return: 0, or -ERESTARTSYS if a signal of the kind that @mode admits came.
 */
int sim_wait(struct sim_parent *sp, enum sim_knob_id delay, int block, int mode)
{
	unsigned long start = jiffies;

	while (!sim_wait_over(sp, start, delay, block)) {
		long slice = sim_time_left(sp, start, delay);
		long ret = 0;

		if (slice <= 0 || slice > WAIT_SLICE)
			slice = WAIT_SLICE;

		if (mode == SIM_WAIT_KILLABLE)
			ret = wait_event_killable_timeout(sp->wait,
				sim_wait_over(sp, start, delay, block), slice);
		else if (mode == SIM_WAIT_INTERRUPTIBLE)
			ret = wait_event_interruptible_timeout(sp->wait,
				sim_wait_over(sp, start, delay, block), slice);
		else
			wait_event_timeout(sp->wait,
				sim_wait_over(sp, start, delay, block), slice);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static void sim_count(struct sim_parent *sp, enum sim_counter_id id)
{
	atomic_inc(&sp->counters[id]);
}

static void sim_enter(struct sim_parent *sp, enum sim_counter_id gauge,
		      enum sim_counter_id peak_id)
{
	atomic_t *peak = &sp->counters[peak_id];
	int now = atomic_inc_return(&sp->counters[gauge]);
	int seen = atomic_read(peak);

	while (seen < now && !atomic_try_cmpxchg(peak, &seen, now))
		;
}

static void sim_leave(struct sim_parent *sp, enum sim_counter_id gauge)
{
	atomic_dec(&sp->counters[gauge]);
}

/* How many more devices of @units each the limit admits; may sleep. */
unsigned int sim_available(struct sim_parent *sp, unsigned int units)
{
	unsigned int limit, used;

	sim_wait(sp, SIM_TYPES_DELAY_MS, -1, SIM_WAIT_KILLABLE);

	spin_lock(&sp->lock);
	limit = sim_knob(sp, SIM_LIMIT);
	used = sp->used;
	spin_unlock(&sp->lock);
	return used < limit ? (limit - used) / units : 0;
}

ssize_t sim_describe(struct sim_parent *sp, const struct sim_kind *kind, char *buf)
{
	return sprintf(buf, "weight: %u\npool: %u\nvfio: %s\n", kind->weight,
		       sim_knob(sp, SIM_LIMIT), kind->vfio ? "yes" : "no");
}

/* Units are counted for every parent, but only a @full_errno makes them a limit. */
static int sim_take(struct sim_parent *sp, unsigned int units, int full_errno)
{
	int ret = 0;

	spin_lock(&sp->lock);
	if (full_errno && sp->used + units > sim_knob(sp, SIM_LIMIT))
		ret = full_errno;
	else
		sp->used += units;
	spin_unlock(&sp->lock);
	return ret;
}

static void sim_give(struct sim_parent *sp, unsigned int units)
{
	spin_lock(&sp->lock);
	sp->used -= units;
	spin_unlock(&sp->lock);
}

static int sim_injected_create_error(struct sim_parent *sp)
{
	struct sim_knob *error = &sp->knobs[SIM_CREATE_ERRNO];
	struct sim_knob *count = &sp->knobs[SIM_CREATE_ERRNO_COUNT];
	int ret;

	spin_lock(&sp->lock);
	ret = -(int)error->value;
	if (ret && count->value) {
		WRITE_ONCE(count->value, count->value - 1);
		if (!count->value)
			WRITE_ONCE(error->value, 0);
	}
	spin_unlock(&sp->lock);
	return ret;
}

static void sim_create_over(struct sim_parent *sp, const struct sim_kind *kind,
			    const char *name, int error)
{
	sim_count(sp, error ? SIM_CREATE_FAILURES : SIM_CREATES);
	sim_history(sp, "create %s %s %d\n", name, kind->name, error);
	sim_leave(sp, SIM_CREATING);
}

/**
 * sim_mdev_create() - first part of a creation
 * @sp:         parent
 * @kind:       type
 * @name:       UUID
 * @units:      what it takes from the parent's limit
 * @full_errno: negative errno if the limit is reached; 0 if somebody
 *              else keeps the limit
 *
 * To be followed by sim_mdev_created() or sim_mdev_abort().
 *
 * Return: the device, or what the knobs say, or -ENOMEM, or @full_errno.
 */
struct sim_mdev *sim_mdev_create(struct sim_parent *sp, const struct sim_kind *kind,
				 const char *name, unsigned int units, int full_errno)
{
	struct sim_mdev *sm;
	int ret;

	sim_enter(sp, SIM_CREATING, SIM_PEAK_CREATES);

	ret = sim_take(sp, units, full_errno);
	if (ret)
		goto err_over;
	ret = sim_wait(sp, SIM_CREATE_DELAY_MS, SIM_CREATE_BLOCK,
		       sim_knob(sp, SIM_CREATE_KILLABLE));
	if (ret)
		goto err_give;
	ret = sim_injected_create_error(sp);
	if (ret)
		goto err_give;

	sm = kzalloc(sizeof(*sm), GFP_KERNEL);
	if (!sm) {
		ret = -ENOMEM;
		goto err_give;
	}
	sm->sp = sp;
	sm->kind = kind;
	sm->units = units;
	strscpy(sm->name, name, sizeof(sm->name));
	return sm;

err_give:
	sim_give(sp, units);
err_over:
	sim_create_over(sp, kind, name, ret);
	return ERR_PTR(ret);
}

void sim_mdev_created(struct sim_mdev *sm)
{
	sim_count(sm->sp, SIM_LIVE);
	sim_create_over(sm->sp, sm->kind, sm->name, 0);
}

void sim_mdev_abort(struct sim_mdev *sm, int error)
{
	sim_give(sm->sp, sm->units);
	sim_create_over(sm->sp, sm->kind, sm->name, error);
	kfree(sm);
}

/* To be called before waiting for the users of the vfio device. */
void sim_mdev_remove_begin(struct sim_mdev *sm)
{
	sim_enter(sm->sp, SIM_REMOVING, SIM_PEAK_REMOVES);
}

void sim_mdev_remove_end(struct sim_mdev *sm)
{
	struct sim_parent *sp = sm->sp;

	sim_wait(sp, SIM_REMOVE_DELAY_MS, SIM_REMOVE_BLOCK, SIM_WAIT_UNINTERRUPTIBLE);

	sim_attrs_release(sm);
	sim_give(sp, sm->units);
	sim_count(sp, SIM_REMOVES);
	sim_history(sp, "remove %s %s 0\n", sm->name, sm->kind->name);
	sim_leave(sp, SIM_LIVE);
	kfree(sm);
	/* Last, for it tells a test that nothing is under way any more. */
	sim_leave(sp, SIM_REMOVING);
}

int sim_mdev_open(struct sim_mdev *sm)
{
	int ret = -(int)sim_knob(sm->sp, SIM_OPEN_ERRNO);

	if (!ret) {
		mutex_lock(&sim_attr_lock);
		sm->open = true;
		mutex_unlock(&sim_attr_lock);
		sim_count(sm->sp, SIM_OPENS);
	}
	sim_history(sm->sp, "open %s %s %d\n", sm->name, sm->kind->name, ret);
	return ret;
}

void sim_mdev_close(struct sim_mdev *sm)
{
	mutex_lock(&sim_attr_lock);
	sm->open = false;
	mutex_unlock(&sim_attr_lock);
	sim_history(sm->sp, "close %s %s 0\n", sm->name, sm->kind->name);
}

void sim_mdev_request(struct sim_mdev *sm)
{
	sim_count(sm->sp, SIM_REQUESTS);
	sim_history(sm->sp, "request %s %s 0\n", sm->name, sm->kind->name);
}

/* A device without regions and interrupts: it is there to be held open. */
long sim_mdev_ioctl(struct sim_mdev *sm, unsigned int cmd, unsigned long arg)
{
	const unsigned long minsz = offsetofend(struct vfio_device_info, num_irqs);
	struct vfio_device_info info;

	switch (cmd) {
	case VFIO_DEVICE_GET_INFO:
		if (copy_from_user(&info, (void __user *)arg, minsz))
			return -EFAULT;
		if (info.argsz < minsz)
			return -EINVAL;
		info.flags = VFIO_DEVICE_FLAGS_RESET;
		info.num_regions = 0;
		info.num_irqs = 0;
		return copy_to_user((void __user *)arg, &info, minsz) ? -EFAULT : 0;
	case VFIO_DEVICE_RESET:
		return 0;
	default:
		return -ENOTTY;
	}
}
