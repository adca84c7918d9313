// SPDX-License-Identifier: GPL-2.0-only
/*
 * mdevsim: the kernel's mdev and vfio interfaces
 *
 * The only file that knows kernel versions:
 *
 *   5.10         struct mdev_parent_ops; the driver provides the types' files;
 *                vfio comes from the kernel's own vfio_mdev
 *   6.1 to 6.12  struct mdev_driver; types are structs; the core provides the
 *                types' files and can keep the number of instances
 */
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/uuid.h>
#include <linux/version.h>
#include <linux/vfio.h>
#include <linux/workqueue.h>
/* After device.h and uuid.h: that of 5.10 does not bring what it needs. */
#include <linux/mdev.h>

#include "sim.h"

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 1, 0)

/*
 * struct sim_reg - one registration of a parent with the mdev core
 *
 * The core keeps pointers into it as long as a type or a device of it is
 * referenced, which may be longer than mdev_unregister_parent() takes. So each
 * type gets one reference of our own. When that is the last one, nobody else
 * can get or put any more, and giving it back ends the type for good: only
 * then the registration is freed.
 */
struct sim_type {
	struct mdev_type type;
	struct sim_reg *reg;
	const struct sim_kind *kind;
};

struct sim_reg {
	struct list_head node;		/* in sim_dead_regs */
	struct sim_parent *sp;		/* valid until unregistered */
	bool pool;
	struct mdev_parent parent;
	unsigned int n_types;
	struct sim_type types[SIM_KINDS];
	struct mdev_type *type_ptrs[SIM_KINDS];
};

struct sim_vdev {
	struct vfio_device vdev;
	struct sim_mdev *sm;
};

static LIST_HEAD(sim_dead_regs);
static DEFINE_MUTEX(sim_dead_regs_lock);

/* mdev_register_parent() takes the number of instances from the driver. */
static DEFINE_MUTEX(sim_register_lock);

static void sim_reap(struct work_struct *work);
static DECLARE_DELAYED_WORK(sim_reap_work, sim_reap);

static bool sim_reg_is_last(struct sim_reg *reg)
{
	int i;

	for (i = 0; i < reg->n_types; i++)
		if (kref_read(&reg->types[i].type.kobj.kref) > 1)
			return false;
	return true;
}

static bool sim_reap_dead_regs(void)
{
	struct sim_reg *reg, *next;
	bool empty;
	int i;

	mutex_lock(&sim_dead_regs_lock);
	list_for_each_entry_safe(reg, next, &sim_dead_regs, node) {
		if (!sim_reg_is_last(reg))
			continue;
		list_del(&reg->node);
		for (i = 0; i < reg->n_types; i++)
			kobject_put(&reg->types[i].type.kobj);
		kfree(reg);
	}
	empty = list_empty(&sim_dead_regs);
	mutex_unlock(&sim_dead_regs_lock);
	return empty;
}

static void sim_reap(struct work_struct *work)
{
	if (!sim_reap_dead_regs())
		schedule_delayed_work(&sim_reap_work, HZ / 10);
}

/* vfio */

static struct sim_mdev *sim_of_vdev(struct vfio_device *vdev)
{
	return container_of(vdev, struct sim_vdev, vdev)->sm;
}

static int sim_vfio_open(struct vfio_device *vdev)
{
	return sim_mdev_open(sim_of_vdev(vdev));
}

static void sim_vfio_close(struct vfio_device *vdev)
{
	sim_mdev_close(sim_of_vdev(vdev));
}

static void sim_vfio_request(struct vfio_device *vdev, unsigned int count)
{
	sim_mdev_request(sim_of_vdev(vdev));
}

static long sim_vfio_ioctl(struct vfio_device *vdev, unsigned int cmd, unsigned long arg)
{
	return sim_mdev_ioctl(sim_of_vdev(vdev), cmd, arg);
}

static const struct vfio_device_ops sim_vfio_ops = {
	.name = KBUILD_MODNAME,
	.open_device = sim_vfio_open,
	.close_device = sim_vfio_close,
	.request = sim_vfio_request,
	.ioctl = sim_vfio_ioctl,
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
	.release = vfio_free_device,
#else
	.bind_iommufd = vfio_iommufd_emulated_bind,
	.unbind_iommufd = vfio_iommufd_emulated_unbind,
	.attach_ioas = vfio_iommufd_emulated_attach_ioas,
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
	.detach_ioas = vfio_iommufd_emulated_detach_ioas,
#endif
};

static int sim_vfio_add(struct sim_mdev *sm, struct device *dev)
{
	struct sim_vdev *sv;
	int ret;

	sv = vfio_alloc_device(sim_vdev, vdev, dev, &sim_vfio_ops);
	if (IS_ERR(sv))
		return PTR_ERR(sv);
	sv->sm = sm;
	ret = vfio_register_emulated_iommu_dev(&sv->vdev);
	if (ret) {
		vfio_put_device(&sv->vdev);
		return ret;
	}
	sm->vdev = sv;
	return 0;
}

/* Waits until nobody has the device open. */
static void sim_vfio_del(struct sim_mdev *sm)
{
	struct sim_vdev *sv = sm->vdev;

	if (!sv)
		return;
	vfio_unregister_group_dev(&sv->vdev);
	vfio_put_device(&sv->vdev);
	sm->vdev = NULL;
}

/* mdev */

static struct sim_type *sim_of_type(struct mdev_type *mtype)
{
	return container_of(mtype, struct sim_type, type);
}

static int sim_mdev_probe(struct mdev_device *mdev)
{
	struct sim_type *type = sim_of_type(mdev->type);
	bool pool = type->reg->pool;
	struct sim_mdev *sm;
	int ret;

	sm = sim_mdev_create(type->reg->sp, type->kind, dev_name(&mdev->dev),
			     pool ? type->kind->weight : 1, pool ? -ENOSPC : 0);
	if (IS_ERR(sm))
		return PTR_ERR(sm);

	if (type->kind->vfio) {
		ret = sim_vfio_add(sm, &mdev->dev);
		if (ret) {
			sim_mdev_abort(sm, ret);
			return ret;
		}
	}
	dev_set_drvdata(&mdev->dev, sm);
	sim_mdev_created(sm);
	return 0;
}

static void sim_mdev_remove(struct mdev_device *mdev)
{
	struct sim_mdev *sm = dev_get_drvdata(&mdev->dev);

	sim_mdev_remove_begin(sm);
	sim_vfio_del(sm);
	sim_mdev_remove_end(sm);
}

static unsigned int sim_mdev_available(struct mdev_type *mtype)
{
	struct sim_type *type = sim_of_type(mtype);

	return sim_available(type->reg->sp, type->kind->weight);
}

static ssize_t sim_mdev_describe(struct mdev_type *mtype, char *buf)
{
	struct sim_type *type = sim_of_type(mtype);

	return sim_describe(type->reg->sp, type->kind, buf);
}

/* Limited by the core, as long as a driver has no get_available */
static struct mdev_driver sim_core_driver = {
	.device_api = VFIO_DEVICE_API_PCI_STRING,
	.probe = sim_mdev_probe,
	.remove = sim_mdev_remove,
	.driver = {
		.name = KBUILD_MODNAME "_core",
		.owner = THIS_MODULE,
		.mod_name = KBUILD_MODNAME,
		.dev_groups = sim_mdev_groups,
	},
};

static struct mdev_driver sim_pool_driver = {
	.device_api = VFIO_DEVICE_API_PCI_STRING,
	.probe = sim_mdev_probe,
	.remove = sim_mdev_remove,
	.get_available = sim_mdev_available,
	.show_description = sim_mdev_describe,
	.driver = {
		.name = KBUILD_MODNAME "_pool",
		.owner = THIS_MODULE,
		.mod_name = KBUILD_MODNAME,
		.dev_groups = sim_mdev_groups,
	},
};

struct sim_mdev *sim_glue_mdev(struct device *dev)
{
	return dev_get_drvdata(dev);
}

struct sim_reg *sim_glue_register(struct sim_parent *sp, struct device *dev)
{
	struct mdev_driver *driver;
	struct sim_reg *reg;
	int i, ret;

	reg = kzalloc(sizeof(*reg), GFP_KERNEL);
	if (!reg)
		return ERR_PTR(-ENOMEM);
	reg->sp = sp;
	reg->pool = sim_knob(sp, SIM_CAPACITY) == SIM_CAPACITY_POOL;
	for (i = 0; i < SIM_KINDS; i++) {
		struct sim_type *type = &reg->types[reg->n_types];

		if (sim_knob(sp, SIM_HIDE) & BIT(i))
			continue;
		type->reg = reg;
		type->kind = &sim_kinds[i];
		type->type.sysfs_name = sim_kinds[i].name;
		type->type.pretty_name = sim_kinds[i].pretty;
		reg->type_ptrs[reg->n_types++] = &type->type;
	}
	driver = reg->pool ? &sim_pool_driver : &sim_core_driver;

	mutex_lock(&sim_register_lock);
	driver->max_instances = sim_knob(sp, SIM_LIMIT);
	ret = mdev_register_parent(&reg->parent, dev, driver, reg->type_ptrs, reg->n_types);
	mutex_unlock(&sim_register_lock);
	if (ret) {
		/*
		 * Some types may have been visible for a moment: there is no
		 * telling who still looks at them. Out of memory anyway.
		 */
		return ERR_PTR(ret);
	}
	for (i = 0; i < reg->n_types; i++)
		kobject_get(&reg->types[i].type.kobj);
	return reg;
}

void sim_glue_unregister(struct sim_reg *reg)
{
	mdev_unregister_parent(&reg->parent);

	mutex_lock(&sim_dead_regs_lock);
	list_add_tail(&reg->node, &sim_dead_regs);
	mutex_unlock(&sim_dead_regs_lock);
	sim_reap(NULL);
}

/* The pool is computed from the knob; the core has a figure of its own. */
int sim_glue_change_limit(struct sim_reg *reg, unsigned int from, unsigned int to)
{
	atomic_t *available = &reg->parent.available_instances;
	int now, then;

	if (reg->pool)
		return 0;
	now = atomic_read(available);
	do {
		then = now + (int)to - (int)from;
		if (then < 0)
			return -EBUSY;
	} while (!atomic_try_cmpxchg(available, &now, then));
	return 0;
}

int sim_glue_init(void)
{
	int ret;

	ret = mdev_register_driver(&sim_core_driver);
	if (ret)
		return ret;
	ret = mdev_register_driver(&sim_pool_driver);
	if (ret)
		mdev_unregister_driver(&sim_core_driver);
	return ret;
}

void sim_glue_exit(void)
{
	/* Whoever still holds a type also uses the drivers below. */
	cancel_delayed_work_sync(&sim_reap_work);
	while (!sim_reap_dead_regs())
		msleep(20);
	mdev_unregister_driver(&sim_pool_driver);
	mdev_unregister_driver(&sim_core_driver);
}

#elif LINUX_VERSION_CODE < KERNEL_VERSION(5, 11, 0)

/*
 * The core keeps everything that outlives a registration. It has no limit of
 * its own: parents limited by the core get an EPERM when full, as vfio_ap and
 * vfio_ccw give. There is no request callback for mediated devices.
 */
struct sim_reg {
	struct device *dev;
};

static const struct sim_kind *sim_kind_of_type(struct kobject *kobj)
{
	const char *name = strrchr(kobj->name, '-');
	int i;

	for (i = 0; i < SIM_KINDS; i++)
		if (name && !strcmp(name + 1, sim_kinds[i].name))
			return &sim_kinds[i];
	return NULL;
}

static int sim_ops_create(struct kobject *kobj, struct mdev_device *mdev, bool pool)
{
	const struct sim_kind *kind = sim_kind_of_type(kobj);
	struct sim_parent *sp = dev_get_drvdata(mdev_parent_dev(mdev));
	struct sim_mdev *sm;
	char name[40];

	if (!kind)
		return -EINVAL;
	/* The device has no name yet. */
	scnprintf(name, sizeof(name), "%pUl", mdev_uuid(mdev));
	sm = sim_mdev_create(sp, kind, name, pool ? kind->weight : 1,
			     pool ? -ENOSPC : -EPERM);
	if (IS_ERR(sm))
		return PTR_ERR(sm);
	mdev_set_drvdata(mdev, sm);
	sim_mdev_created(sm);
	return 0;
}

static int sim_ops_create_core(struct kobject *kobj, struct mdev_device *mdev)
{
	return sim_ops_create(kobj, mdev, false);
}

static int sim_ops_create_pool(struct kobject *kobj, struct mdev_device *mdev)
{
	return sim_ops_create(kobj, mdev, true);
}

static int sim_ops_remove(struct mdev_device *mdev)
{
	struct sim_mdev *sm = mdev_get_drvdata(mdev);

	sim_mdev_remove_begin(sm);
	sim_mdev_remove_end(sm);
	return 0;
}

static int sim_ops_open(struct mdev_device *mdev)
{
	int ret;

	if (!try_module_get(THIS_MODULE))
		return -ENODEV;
	ret = sim_mdev_open(mdev_get_drvdata(mdev));
	if (ret)
		module_put(THIS_MODULE);
	return ret;
}

static void sim_ops_release(struct mdev_device *mdev)
{
	sim_mdev_close(mdev_get_drvdata(mdev));
	module_put(THIS_MODULE);
}

static long sim_ops_ioctl(struct mdev_device *mdev, unsigned int cmd, unsigned long arg)
{
	return sim_mdev_ioctl(mdev_get_drvdata(mdev), cmd, arg);
}

static ssize_t name_show(struct kobject *kobj, struct device *dev, char *buf)
{
	const struct sim_kind *kind = sim_kind_of_type(kobj);

	return sprintf(buf, "%s\n", kind->pretty ? kind->pretty : kind->name);
}
static MDEV_TYPE_ATTR_RO(name);

static ssize_t device_api_show(struct kobject *kobj, struct device *dev, char *buf)
{
	return sprintf(buf, "%s\n", VFIO_DEVICE_API_PCI_STRING);
}
static MDEV_TYPE_ATTR_RO(device_api);

/* Not by the knob, which may have been changed since the registration */
static ssize_t sim_core_available_show(struct kobject *kobj, struct device *dev, char *buf)
{
	return sprintf(buf, "%u\n", sim_available(dev_get_drvdata(dev), 1));
}

static ssize_t sim_pool_available_show(struct kobject *kobj, struct device *dev, char *buf)
{
	return sprintf(buf, "%u\n", sim_available(dev_get_drvdata(dev),
						  sim_kind_of_type(kobj)->weight));
}

static struct mdev_type_attribute sim_core_available =
	__ATTR(available_instances, 0444, sim_core_available_show, NULL);
static struct mdev_type_attribute sim_pool_available =
	__ATTR(available_instances, 0444, sim_pool_available_show, NULL);

static ssize_t description_show(struct kobject *kobj, struct device *dev, char *buf)
{
	return sim_describe(dev_get_drvdata(dev), sim_kind_of_type(kobj), buf);
}
static MDEV_TYPE_ATTR_RO(description);

static struct attribute *sim_core_type_attrs[] = {
	&mdev_type_attr_name.attr,
	&mdev_type_attr_device_api.attr,
	&sim_core_available.attr,
	NULL
};

static struct attribute *sim_pool_type_attrs[] = {
	&mdev_type_attr_name.attr,
	&mdev_type_attr_device_api.attr,
	&sim_pool_available.attr,
	&mdev_type_attr_description.attr,
	NULL
};

/*
 * By the capacity, and by what the knob "hide" can be: they must outlive the
 * registration. The core takes no constant groups. Filled in by
 * sim_glue_init().
 */
static struct attribute_group sim_type_groups[2][SIM_KINDS];
static struct attribute_group *sim_offered[2][BIT(SIM_KINDS)][SIM_KINDS + 1];
static struct mdev_parent_ops sim_ops[2][BIT(SIM_KINDS)];

static const struct mdev_parent_ops sim_core_ops = {
	.owner = THIS_MODULE,
	.mdev_attr_groups = sim_mdev_groups,
	.create = sim_ops_create_core,
	.remove = sim_ops_remove,
	.open = sim_ops_open,
	.release = sim_ops_release,
	.ioctl = sim_ops_ioctl,
};

static const struct mdev_parent_ops sim_pool_ops = {
	.owner = THIS_MODULE,
	.mdev_attr_groups = sim_mdev_groups,
	.create = sim_ops_create_pool,
	.remove = sim_ops_remove,
	.open = sim_ops_open,
	.release = sim_ops_release,
	.ioctl = sim_ops_ioctl,
};

struct sim_mdev *sim_glue_mdev(struct device *dev)
{
	return mdev_get_drvdata(mdev_from_dev(dev));
}

struct sim_reg *sim_glue_register(struct sim_parent *sp, struct device *dev)
{
	bool pool = sim_knob(sp, SIM_CAPACITY) == SIM_CAPACITY_POOL;
	unsigned int hide = sim_knob(sp, SIM_HIDE) % BIT(SIM_KINDS);
	struct sim_reg *reg;
	int ret;

	reg = kzalloc(sizeof(*reg), GFP_KERNEL);
	if (!reg)
		return ERR_PTR(-ENOMEM);
	reg->dev = dev;
	ret = mdev_register_device(dev, &sim_ops[pool][hide]);
	if (ret) {
		kfree(reg);
		return ERR_PTR(ret);
	}
	return reg;
}

void sim_glue_unregister(struct sim_reg *reg)
{
	mdev_unregister_device(reg->dev);
	kfree(reg);
}

int sim_glue_change_limit(struct sim_reg *reg, unsigned int from, unsigned int to)
{
	return 0;
}

int sim_glue_init(void)
{
	unsigned int hide;
	int pool, i, n;

	for (pool = 0; pool < 2; pool++) {
		for (i = 0; i < SIM_KINDS; i++) {
			sim_type_groups[pool][i].name = sim_kinds[i].name;
			sim_type_groups[pool][i].attrs = pool ? sim_pool_type_attrs : sim_core_type_attrs;
		}
		for (hide = 0; hide < BIT(SIM_KINDS); hide++) {
			for (i = 0, n = 0; i < SIM_KINDS; i++)
				if (!(hide & BIT(i)))
					sim_offered[pool][hide][n++] = &sim_type_groups[pool][i];
			sim_ops[pool][hide] = pool ? sim_pool_ops : sim_core_ops;
			sim_ops[pool][hide].supported_type_groups = sim_offered[pool][hide];
		}
	}
	return 0;
}

void sim_glue_exit(void)
{
}

#else
#error "mdevsim knows the mdev interface of 5.10 and of 6.1 and later"
#endif

/* The platform driver is here because the type of its remove() has changed. */

static int sim_platform_probe(struct platform_device *pdev)
{
	return sim_bind(&pdev->dev);
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
static void sim_platform_remove(struct platform_device *pdev)
{
	sim_unbind(&pdev->dev);
}
#else
static int sim_platform_remove(struct platform_device *pdev)
{
	sim_unbind(&pdev->dev);
	return 0;
}
#endif

struct platform_driver sim_platform_driver = {
	.probe = sim_platform_probe,
	.remove = sim_platform_remove,
	.driver = {
		.name = KBUILD_MODNAME,
		.probe_type = PROBE_FORCE_SYNCHRONOUS,
	},
};
