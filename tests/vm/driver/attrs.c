// SPDX-License-Identifier: GPL-2.0-only
/*
 * mdevsim: vendor attributes of a mediated device
 *
 * Each behaves like something that real drivers do: accumulate values that
 * must be unique over all devices, depend on the order of writes, clamp, refuse
 * a second write or any write while the device is open, fail, or be slow.
 *
 * Numbers are parsed as the kernel does everywhere (base from the prefix, one
 * newline at the end is fine). Texts lose one newline at the end.
 */
#include <linux/slab.h>
#include <linux/sysfs.h>

#include "sim.h"

/* Protects the attributes and the open state of all devices. */
DEFINE_MUTEX(sim_attr_lock);

/* Who has which value: they are unique over all parents. */
static struct sim_mdev *sim_value_owner[SIM_VALUES];

struct sim_attr {
	struct device_attribute attr;
	/* Both with sim_attr_lock held; NULL if there is nothing to read or write */
	ssize_t (*show)(struct sim_mdev *sm, char *buf);
	int (*store)(struct sim_mdev *sm, const char *text, size_t len);
};

static ssize_t sim_attr_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct sim_attr *sa = container_of(attr, struct sim_attr, attr);
	ssize_t ret;

	/* chmod can make a write-only file readable. */
	if (!sa->show)
		return -EIO;
	mutex_lock(&sim_attr_lock);
	ret = sa->show(sim_glue_mdev(dev), buf);
	mutex_unlock(&sim_attr_lock);
	return ret;
}

static ssize_t sim_attr_store(struct device *dev, struct device_attribute *attr,
			      const char *buf, size_t count)
{
	struct sim_attr *sa = container_of(attr, struct sim_attr, attr);
	struct sim_mdev *sm = sim_glue_mdev(dev);
	size_t len = count && buf[count - 1] == '\n' ? count - 1 : count;
	int ret;

	if (!sa->store)
		return -EIO;
	mutex_lock(&sim_attr_lock);
	ret = sa->store(sm, buf, len);
	sim_history(sm->sp, "write %s %s %d %*pE\n", sm->name, attr->attr.name, ret,
		    (int)min_t(size_t, len, SIM_TEXT_MAX), buf);
	mutex_unlock(&sim_attr_lock);
	return ret ? ret : count;
}

#define SIM_ATTR(_name, _mode, _show, _store)					\
	static struct sim_attr sim_attr_##_name = {				\
		.attr = __ATTR(_name, _mode, sim_attr_show, sim_attr_store),	\
		.show = _show,							\
		.store = _store,						\
	}

static int sim_text_set(char *field, size_t size, const char *text, size_t len)
{
	if (len >= size)
		return -EINVAL;
	memcpy(field, text, len);
	field[len] = '\0';
	return 0;
}

/* sysfs ends the buffer with a NUL, so it may be parsed as a string. */
static int sim_parse(const char *text, unsigned int max, int too_big, unsigned int *ret_value)
{
	unsigned int value;

	if (kstrtouint(text, 0, &value))
		return -EINVAL;
	if (value > max)
		return too_big;
	*ret_value = value;
	return 0;
}

/* assign, unassign, matrix */

static int sim_assign_store(struct sim_mdev *sm, const char *text, size_t len)
{
	unsigned int value;
	int ret;

	if (sm->open)
		return -EBUSY;
	ret = sim_parse(text, SIM_VALUES - 1, -ENODEV, &value);
	if (ret)
		return ret;
	if (sim_value_owner[value] && sim_value_owner[value] != sm)
		return -EADDRINUSE;
	sim_value_owner[value] = sm;
	return 0;
}

static int sim_unassign_store(struct sim_mdev *sm, const char *text, size_t len)
{
	unsigned int value;
	int ret;

	if (sm->open)
		return -EBUSY;
	ret = sim_parse(text, SIM_VALUES - 1, -ENODEV, &value);
	if (ret)
		return ret;
	if (sim_value_owner[value] == sm)
		sim_value_owner[value] = NULL;
	return 0;
}

static ssize_t sim_matrix_show(struct sim_mdev *sm, char *buf)
{
	ssize_t len = 0;
	int i;

	for (i = 0; i < SIM_VALUES; i++)
		if (sim_value_owner[i] == sm)
			len += scnprintf(buf + len, PAGE_SIZE - len, "%d\n", i);
	return len;
}

void sim_attrs_release(struct sim_mdev *sm)
{
	int i;

	mutex_lock(&sim_attr_lock);
	for (i = 0; i < SIM_VALUES; i++)
		if (sim_value_owner[i] == sm)
			sim_value_owner[i] = NULL;
	mutex_unlock(&sim_attr_lock);
}

SIM_ATTR(assign, 0200, NULL, sim_assign_store);
SIM_ATTR(unassign, 0200, NULL, sim_unassign_store);
SIM_ATTR(matrix, 0444, sim_matrix_show, NULL);

/* enable, level: the order of the two matters */

static ssize_t sim_enable_show(struct sim_mdev *sm, char *buf)
{
	return sprintf(buf, "%d\n", sm->enable);
}

static int sim_enable_store(struct sim_mdev *sm, const char *text, size_t len)
{
	unsigned int value;
	int ret;

	ret = sim_parse(text, 1, -EINVAL, &value);
	if (!ret)
		sm->enable = value;
	return ret;
}

static ssize_t sim_level_show(struct sim_mdev *sm, char *buf)
{
	return sprintf(buf, "%u\n", sm->level);
}

static int sim_level_store(struct sim_mdev *sm, const char *text, size_t len)
{
	if (!sm->enable)
		return -EPERM;
	return sim_parse(text, 100, -EINVAL, &sm->level);
}

SIM_ATTR(enable, 0644, sim_enable_show, sim_enable_store);
SIM_ATTR(level, 0644, sim_level_show, sim_level_store);

/* clamp: accepts more than it takes */

static ssize_t sim_clamp_show(struct sim_mdev *sm, char *buf)
{
	return sprintf(buf, "%u\n", sm->clamp);
}

static int sim_clamp_store(struct sim_mdev *sm, const char *text, size_t len)
{
	unsigned int value;
	int ret;

	ret = sim_parse(text, UINT_MAX, -EINVAL, &value);
	if (!ret)
		sm->clamp = min(value, 16U);
	return ret;
}

SIM_ATTR(clamp, 0644, sim_clamp_show, sim_clamp_store);

/* once: accepts one write in a life */

static ssize_t sim_once_show(struct sim_mdev *sm, char *buf)
{
	return sprintf(buf, "%s\n", sm->once);
}

static int sim_once_store(struct sim_mdev *sm, const char *text, size_t len)
{
	int ret;

	if (sm->once_set)
		return -EEXIST;
	ret = sim_text_set(sm->once, sizeof(sm->once), text, len);
	if (!ret)
		sm->once_set = true;
	return ret;
}

SIM_ATTR(once, 0644, sim_once_show, sim_once_store);

/* quiet: accepts writes only while nobody has the device open */

static ssize_t sim_quiet_show(struct sim_mdev *sm, char *buf)
{
	return sprintf(buf, "%s\n", sm->quiet);
}

static int sim_quiet_store(struct sim_mdev *sm, const char *text, size_t len)
{
	if (sm->open)
		return -EBUSY;
	return sim_text_set(sm->quiet, sizeof(sm->quiet), text, len);
}

SIM_ATTR(quiet, 0644, sim_quiet_show, sim_quiet_store);

/* fail: fails as the parent's knob says */

static ssize_t sim_fail_show(struct sim_mdev *sm, char *buf)
{
	return sprintf(buf, "%s\n", sm->fail);
}

static int sim_fail_store(struct sim_mdev *sm, const char *text, size_t len)
{
	int ret = -(int)sim_knob(sm->sp, SIM_ATTR_ERRNO);

	return ret ? ret : sim_text_set(sm->fail, sizeof(sm->fail), text, len);
}

SIM_ATTR(fail, 0644, sim_fail_show, sim_fail_store);

/* slow: takes as long as the parent's knob says */

static ssize_t sim_slow_show(struct sim_mdev *sm, char *buf)
{
	return sprintf(buf, "%s\n", sm->slow);
}

static int sim_slow_store(struct sim_mdev *sm, const char *text, size_t len)
{
	/* Only this device is slow. It cannot go while its file is written. */
	mutex_unlock(&sim_attr_lock);
	sim_wait(sm->sp, SIM_ATTR_DELAY_MS, -1, SIM_WAIT_UNINTERRUPTIBLE);
	mutex_lock(&sim_attr_lock);
	return sim_text_set(sm->slow, sizeof(sm->slow), text, len);
}

SIM_ATTR(slow, 0644, sim_slow_show, sim_slow_store);

/* in_use: whether a user has the device open */

static ssize_t sim_in_use_show(struct sim_mdev *sm, char *buf)
{
	return sprintf(buf, "%d\n", sm->open);
}

SIM_ATTR(in_use, 0444, sim_in_use_show, NULL);

/* log: keeps everything written to it, a line each */

static ssize_t sim_log_show(struct sim_mdev *sm, char *buf)
{
	memcpy(buf, sm->log, sm->log_len);
	return sm->log_len;
}

static int sim_log_store(struct sim_mdev *sm, const char *text, size_t len)
{
	/* A read must stay below a page. */
	if (len + 1 >= sizeof(sm->log) - sm->log_len)
		return -ENOSPC;
	memcpy(sm->log + sm->log_len, text, len);
	sm->log_len += len;
	sm->log[sm->log_len++] = '\n';
	return 0;
}

SIM_ATTR(log, 0644, sim_log_show, sim_log_store);

/* sim/params: free text, in a directory; sim/type: something to read there */

static ssize_t sim_params_show(struct sim_mdev *sm, char *buf)
{
	return sprintf(buf, "%s\n", sm->params);
}

static int sim_params_store(struct sim_mdev *sm, const char *text, size_t len)
{
	if (sm->open)
		return -EBUSY;
	return sim_text_set(sm->params, sizeof(sm->params), text, len);
}

static ssize_t sim_type_show(struct sim_mdev *sm, char *buf)
{
	return sprintf(buf, "%s\n", sm->kind->name);
}

SIM_ATTR(params, 0644, sim_params_show, sim_params_store);
SIM_ATTR(type, 0444, sim_type_show, NULL);

static struct attribute *sim_top_attrs[] = {
	&sim_attr_assign.attr.attr,
	&sim_attr_unassign.attr.attr,
	&sim_attr_matrix.attr.attr,
	&sim_attr_enable.attr.attr,
	&sim_attr_level.attr.attr,
	&sim_attr_clamp.attr.attr,
	&sim_attr_once.attr.attr,
	&sim_attr_quiet.attr.attr,
	&sim_attr_fail.attr.attr,
	&sim_attr_slow.attr.attr,
	&sim_attr_in_use.attr.attr,
	&sim_attr_log.attr.attr,
	NULL
};

static struct attribute *sim_dir_attrs[] = {
	&sim_attr_params.attr.attr,
	&sim_attr_type.attr.attr,
	NULL
};

static const struct attribute_group sim_top_group = {
	.attrs = sim_top_attrs,
};

static const struct attribute_group sim_dir_group = {
	.name = "sim",
	.attrs = sim_dir_attrs,
};

const struct attribute_group *sim_mdev_groups[] = {
	&sim_top_group,
	&sim_dir_group,
	NULL
};
