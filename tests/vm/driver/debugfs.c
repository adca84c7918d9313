// SPDX-License-Identifier: GPL-2.0-only
/*
 * mdevsim: /sys/kernel/debug/mdevsim
 *
 * Every file holds one value, decimal, so that "echo" and "cat" are enough.
 * README.md lists them.
 */
#include <linux/ctype.h>
#include <linux/debugfs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "sim.h"

#define HISTORY_SIZE	(256 * 1024)
#define NAME_SIZE	64
#define DELAY_MAX_MS	(3600 * 1000)

static struct dentry *sim_root;

static const struct {
	const char *name;
	unsigned int max;
} sim_knob_info[SIM_KNOBS] = {
	[SIM_CREATE_DELAY_MS]		= { "create_delay_ms", DELAY_MAX_MS },
	[SIM_CREATE_KILLABLE]		= { "create_killable", SIM_WAIT_INTERRUPTIBLE },
	[SIM_CREATE_ERRNO]		= { "create_errno", MAX_ERRNO },
	[SIM_CREATE_ERRNO_COUNT]	= { "create_errno_count", UINT_MAX },
	[SIM_CREATE_BLOCK]		= { "create_block", 1 },
	[SIM_REMOVE_DELAY_MS]		= { "remove_delay_ms", DELAY_MAX_MS },
	[SIM_REMOVE_BLOCK]		= { "remove_block", 1 },
	[SIM_OPEN_ERRNO]		= { "open_errno", MAX_ERRNO },
	[SIM_ATTR_ERRNO]		= { "attr_errno", MAX_ERRNO },
	[SIM_ATTR_DELAY_MS]		= { "attr_delay_ms", DELAY_MAX_MS },
	[SIM_TYPES_DELAY_MS]		= { "types_delay_ms", DELAY_MAX_MS },
	[SIM_REGISTER_DELAY_MS]		= { "register_delay_ms", DELAY_MAX_MS },
	[SIM_LIMIT]			= { "limit", 65536 },
	[SIM_CAPACITY]			= { "capacity", SIM_CAPACITY_POOL },
	[SIM_HIDE]			= { "hide", BIT(SIM_KINDS) - 1 },
};

static const char * const sim_counter_names[SIM_COUNTERS] = {
	[SIM_CREATES]		= "creates",
	[SIM_CREATE_FAILURES]	= "create_failures",
	[SIM_REMOVES]		= "removes",
	[SIM_OPENS]		= "opens",
	[SIM_REQUESTS]		= "requests",
	[SIM_PEAK_CREATES]	= "peak_creates",
	[SIM_PEAK_REMOVES]	= "peak_removes",
	[SIM_CREATING]		= "creating",
	[SIM_REMOVING]		= "removing",
	[SIM_LIVE]		= "live",
};

static ssize_t sim_value_to_user(char __user *to, size_t count, loff_t *pos, unsigned int value)
{
	char buf[16];
	int len = scnprintf(buf, sizeof(buf), "%u\n", value);

	return simple_read_from_buffer(to, count, pos, buf, len);
}

/* Knobs */

static ssize_t sim_knob_read(struct file *file, char __user *to, size_t count, loff_t *pos)
{
	struct sim_knob *knob = file->private_data;

	return sim_value_to_user(to, count, pos, READ_ONCE(knob->value));
}

static int sim_limit_set(struct sim_knob *knob, unsigned int value)
{
	struct sim_parent *sp = knob->sp;
	int ret = 0;

	if (mutex_lock_killable(&sp->reg_lock))
		return -EINTR;
	if (sp->reg)
		ret = sim_glue_change_limit(sp->reg, knob->value, value);
	if (!ret)
		WRITE_ONCE(knob->value, value);
	mutex_unlock(&sp->reg_lock);
	return ret;
}

static ssize_t sim_knob_write(struct file *file, const char __user *from, size_t count, loff_t *pos)
{
	struct sim_knob *knob = file->private_data;
	struct sim_parent *sp = knob->sp;
	unsigned int value;
	int ret;

	ret = kstrtouint_from_user(from, count, 0, &value);
	if (ret)
		return ret;
	if (value > sim_knob_info[knob->id].max)
		return -EINVAL;

	if (knob->id == SIM_LIMIT) {
		ret = sim_limit_set(knob, value);
		if (ret)
			return ret;
	} else {
		spin_lock(&sp->lock);
		WRITE_ONCE(knob->value, value);
		spin_unlock(&sp->lock);
	}
	wake_up_all(&sp->wait);
	return count;
}

static const struct file_operations sim_knob_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.read = sim_knob_read,
	.write = sim_knob_write,
	.llseek = default_llseek,
};

/* Counters */

static ssize_t sim_counter_read(struct file *file, char __user *to, size_t count, loff_t *pos)
{
	atomic_t *counter = file->private_data;

	return sim_value_to_user(to, count, pos, atomic_read(counter));
}

static const struct file_operations sim_counter_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.read = sim_counter_read,
	.llseek = default_llseek,
};

/* registered */

static ssize_t sim_registered_read(struct file *file, char __user *to, size_t count, loff_t *pos)
{
	struct sim_parent *sp = file->private_data;

	return sim_value_to_user(to, count, pos, !!READ_ONCE(sp->reg));
}

static ssize_t sim_registered_write(struct file *file, const char __user *from, size_t count,
				    loff_t *pos)
{
	struct sim_parent *sp = file->private_data;
	bool on;
	int ret;

	ret = kstrtobool_from_user(from, count, &on);
	if (!ret)
		ret = sim_parent_set_registered(sp, on);
	return ret ? ret : count;
}

static const struct file_operations sim_registered_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.read = sim_registered_read,
	.write = sim_registered_write,
	.llseek = default_llseek,
};

/* reset, of one parent and of all */

static ssize_t sim_reset_write(struct file *file, const char __user *from, size_t count,
			       loff_t *pos)
{
	struct sim_parent *only = file->private_data;
	struct sim_parent *sp;

	if (only) {
		sim_parent_reset(only);
		return count;
	}
	mutex_lock(&sim_parents_lock);
	list_for_each_entry(sp, &sim_parents, node)
		sim_parent_reset(sp);
	mutex_unlock(&sim_parents_lock);
	return count;
}

static const struct file_operations sim_reset_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = sim_reset_write,
	.llseek = default_llseek,
};

/* history */

/* Lines that find no room are dropped: a test that needs them resets earlier. */
void sim_history(struct sim_parent *sp, const char *fmt, ...)
{
	va_list args;
	size_t room;
	int len;

	mutex_lock(&sp->history_lock);
	room = HISTORY_SIZE - sp->history_len;
	va_start(args, fmt);
	len = vsnprintf(sp->history + sp->history_len, room, fmt, args);
	va_end(args);
	if (len > 0 && len < room)
		sp->history_len += len;
	mutex_unlock(&sp->history_lock);
}

static ssize_t sim_history_read(struct file *file, char __user *to, size_t count, loff_t *pos)
{
	struct sim_parent *sp = file->private_data;
	ssize_t ret;

	mutex_lock(&sp->history_lock);
	ret = simple_read_from_buffer(to, count, pos, sp->history, sp->history_len);
	mutex_unlock(&sp->history_lock);
	return ret;
}

static const struct file_operations sim_history_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.read = sim_history_read,
	.llseek = default_llseek,
};

/* add_parent, del_parent, parents */

bool sim_name_is_valid(const char *name)
{
	static const char * const taken[] = {
		"", ".", "..", "add_parent", "del_parent", "parents", "reset",
	};
	const char *p;
	int i;

	for (i = 0; i < ARRAY_SIZE(taken); i++)
		if (!strcmp(name, taken[i]))
			return false;
	/* The driver core turns '/' into '!'; the name would not be found again. */
	for (p = name; *p; p++)
		if (*p == '/' || *p == '\n')
			return false;
	return true;
}

/* Takes "NAME\n" apart: @buf has NAME_SIZE bytes. */
static int sim_name_from_user(const char __user *from, size_t count, char *buf)
{
	if (count >= NAME_SIZE)
		return -ENAMETOOLONG;
	if (copy_from_user(buf, from, count))
		return -EFAULT;
	if (count && buf[count - 1] == '\n')
		count--;
	buf[count] = '\0';
	return 0;
}

static ssize_t sim_add_parent_write(struct file *file, const char __user *from, size_t count,
				    loff_t *pos)
{
	char buf[NAME_SIZE], *name = buf, *word;
	int capacity = -1;
	int ret;

	ret = sim_name_from_user(from, count, buf);
	if (ret)
		return ret;

	word = strchr(name, ' ');
	if (word) {
		*word++ = '\0';
		if (!strcmp(word, "core"))
			capacity = SIM_CAPACITY_CORE;
		else if (!strcmp(word, "pool"))
			capacity = SIM_CAPACITY_POOL;
		else
			return -EINVAL;
	}
	ret = sim_parent_add(name, capacity);
	return ret ? ret : count;
}

static ssize_t sim_del_parent_write(struct file *file, const char __user *from, size_t count,
				    loff_t *pos)
{
	char name[NAME_SIZE];
	int ret;

	ret = sim_name_from_user(from, count, name);
	if (!ret)
		ret = sim_parent_del(name);
	return ret ? ret : count;
}

static const struct file_operations sim_add_parent_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = sim_add_parent_write,
	.llseek = default_llseek,
};

static const struct file_operations sim_del_parent_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = sim_del_parent_write,
	.llseek = default_llseek,
};

static int sim_parents_show(struct seq_file *m, void *unused)
{
	struct sim_parent *sp;

	mutex_lock(&sim_parents_lock);
	list_for_each_entry(sp, &sim_parents, node)
		seq_printf(m, "%s index=%u capacity=%s bound=%d registered=%d\n",
			   sp->name, sp->index,
			   sim_knob(sp, SIM_CAPACITY) == SIM_CAPACITY_CORE ? "core" : "pool",
			   !!READ_ONCE(sp->dev), !!READ_ONCE(sp->reg));
	mutex_unlock(&sim_parents_lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(sim_parents);

int sim_debugfs_add(struct sim_parent *sp)
{
	struct dentry *dir;
	int i;

	/* Here, so that without debugfs there is nothing to go wrong */
	sp->history = kvmalloc(HISTORY_SIZE, GFP_KERNEL);
	if (!sp->history)
		return -ENOMEM;

	/*
	 * Without debugfs the driver still works, only without knobs; the rest
	 * of debugfs takes an error for a directory and does nothing then.
	 */
	dir = debugfs_create_dir(sp->name, sim_root);
	for (i = 0; i < SIM_KNOBS; i++)
		debugfs_create_file(sim_knob_info[i].name, 0600, dir, &sp->knobs[i],
				    &sim_knob_fops);
	for (i = 0; i < SIM_COUNTERS; i++)
		debugfs_create_file(sim_counter_names[i], 0400, dir, &sp->counters[i],
				    &sim_counter_fops);
	debugfs_create_u32("index", 0400, dir, &sp->index);
	debugfs_create_u32("used", 0400, dir, &sp->used);
	debugfs_create_file("registered", 0600, dir, sp, &sim_registered_fops);
	debugfs_create_file("reset", 0200, dir, sp, &sim_reset_fops);
	debugfs_create_file("history", 0400, dir, sp, &sim_history_fops);
	sp->dir = dir;
	return 0;
}

void sim_debugfs_remove(struct sim_parent *sp)
{
	debugfs_remove_recursive(sp->dir);
}

int sim_debugfs_init(void)
{
	sim_root = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_file("add_parent", 0200, sim_root, NULL, &sim_add_parent_fops);
	debugfs_create_file("del_parent", 0200, sim_root, NULL, &sim_del_parent_fops);
	debugfs_create_file("reset", 0200, sim_root, NULL, &sim_reset_fops);
	debugfs_create_file("parents", 0400, sim_root, NULL, &sim_parents_fops);
	return 0;
}

void sim_debugfs_exit(void)
{
	debugfs_remove_recursive(sim_root);
}
