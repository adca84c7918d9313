// SPDX-License-Identifier: GPL-2.0-only
/*
 * mdevsim: parents
 *
 * A parent is a device bound to one of two drivers, both called "mdevsim": a
 * PCI driver for QEMU's pci-testdev, and a platform driver for devices that
 * tests add under any name they like. Binding registers the device with the
 * mdev core, unbinding unregisters it, so hot-unplug, unbind and removal of
 * the module are the real thing.
 *
 * What a test has set belongs to the name, not to the binding: see struct
 * sim_parent.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/pci.h>
#include <linux/platform_device.h>
#include <linux/slab.h>

#include "sim.h"

#define PARENTS_MAX 1024

static unsigned int parents;
module_param(parents, uint, 0444);
MODULE_PARM_DESC(parents, "platform parents to add at load, named mdevsim.0, mdevsim.1, ... (default 0)");

static unsigned int instances = 8;
module_param(instances, uint, 0644);
MODULE_PARM_DESC(instances, "limit of a parent seen for the first time (default 8)");

static bool autoregister = true;
module_param(autoregister, bool, 0644);
MODULE_PARM_DESC(autoregister, "register a parent with the mdev core when it is bound (default Y)");

static bool pci = true;
module_param(pci, bool, 0444);
MODULE_PARM_DESC(pci, "bind to QEMU's pci-testdev (default Y)");

const struct sim_kind sim_kinds[SIM_KINDS] = {
	{ .name = "small", .pretty = "Simulated small", .weight = 1, .vfio = true },
	{ .name = "large", .pretty = "Simulated large", .weight = 2, .vfio = true },
	{ .name = "nogroup", .weight = 1 },
};

/* Protects the list and the platform devices of its members. */
DEFINE_MUTEX(sim_parents_lock);
LIST_HEAD(sim_parents);
bool sim_exiting;

static struct sim_parent *sim_parent_find(const char *name)
{
	struct sim_parent *sp;

	lockdep_assert_held(&sim_parents_lock);
	list_for_each_entry(sp, &sim_parents, node)
		if (!strcmp(sp->name, name))
			return sp;
	return NULL;
}

static unsigned int sim_free_index(void)
{
	struct sim_parent *sp;
	unsigned int index = 0;

again:
	list_for_each_entry(sp, &sim_parents, node)
		if (sp->index == index) {
			index++;
			goto again;
		}
	return index;
}

static void sim_parent_free(struct sim_parent *sp)
{
	if (!sp)
		return;
	sim_debugfs_remove(sp);
	WARN_ON(sp->reg);
	kvfree(sp->history);
	kfree(sp->name);
	kfree(sp);
}

/* A negative @capacity leaves the choice to the index. */
static struct sim_parent *sim_parent_new(const char *name, int capacity)
{
	struct sim_parent *sp;
	int i, ret;

	lockdep_assert_held(&sim_parents_lock);

	sp = kzalloc(sizeof(*sp), GFP_KERNEL);
	if (!sp)
		return ERR_PTR(-ENOMEM);

	INIT_LIST_HEAD(&sp->node);
	mutex_init(&sp->reg_lock);
	mutex_init(&sp->history_lock);
	spin_lock_init(&sp->lock);
	init_waitqueue_head(&sp->wait);
	for (i = 0; i < SIM_KNOBS; i++) {
		sp->knobs[i].sp = sp;
		sp->knobs[i].id = i;
	}
	sp->index = sim_free_index();
	sp->knobs[SIM_LIMIT].value = READ_ONCE(instances);
	sp->knobs[SIM_CAPACITY].value = capacity >= 0 ? capacity :
		sp->index % 2 ? SIM_CAPACITY_POOL : SIM_CAPACITY_CORE;

	sp->name = kstrdup(name, GFP_KERNEL);
	if (!sp->name) {
		ret = -ENOMEM;
		goto err_free;
	}
	ret = sim_debugfs_add(sp);
	if (ret)
		goto err_free;

	list_add_tail(&sp->node, &sim_parents);
	return sp;

err_free:
	sim_parent_free(sp);
	return ERR_PTR(ret);
}

static int sim_register_locked(struct sim_parent *sp)
{
	struct sim_reg *reg;

	lockdep_assert_held(&sp->reg_lock);
	sim_wait(sp, SIM_REGISTER_DELAY_MS, -1, SIM_WAIT_UNINTERRUPTIBLE);
	reg = sim_glue_register(sp, sp->dev);
	if (IS_ERR(reg))
		return PTR_ERR(reg);
	WRITE_ONCE(sp->reg, reg);
	return 0;
}

static void sim_unregister_locked(struct sim_parent *sp)
{
	lockdep_assert_held(&sp->reg_lock);
	if (!sp->reg)
		return;
	/* It is only over when the last device is gone: keep reg until then. */
	sim_glue_unregister(sp->reg);
	WRITE_ONCE(sp->reg, NULL);
}

int sim_parent_set_registered(struct sim_parent *sp, bool on)
{
	int ret = 0;

	if (mutex_lock_killable(&sp->reg_lock))
		return -EINTR;
	if (!sp->dev)
		ret = -ENODEV;
	else if (!on)
		sim_unregister_locked(sp);
	else if (!sp->reg)
		ret = sim_register_locked(sp);
	mutex_unlock(&sp->reg_lock);
	return ret;
}

/* Of a card its slot, which stays when it is pulled and put back, or the driver loaded anew. */
static int sim_choose_capacity(struct device *dev)
{
	if (!dev_is_pci(dev))
		return -1;
	return PCI_SLOT(to_pci_dev(dev)->devfn) % 2 ? SIM_CAPACITY_POOL : SIM_CAPACITY_CORE;
}

int sim_bind(struct device *dev)
{
	struct sim_parent *sp;
	int ret = 0;

	mutex_lock(&sim_parents_lock);
	sp = sim_parent_find(dev_name(dev));
	if (!sp)
		sp = sim_parent_new(dev_name(dev), sim_choose_capacity(dev));
	mutex_unlock(&sim_parents_lock);
	if (IS_ERR(sp))
		return PTR_ERR(sp);

	mutex_lock(&sp->reg_lock);
	if (sp->dev) {
		/* The same name on the other bus */
		ret = -EBUSY;
		goto out;
	}
	dev_set_drvdata(dev, sp);
	sp->dev = dev;
	if (READ_ONCE(autoregister))
		ret = sim_register_locked(sp);
	if (ret)
		sp->dev = NULL;
out:
	mutex_unlock(&sp->reg_lock);
	return ret;
}

void sim_unbind(struct device *dev)
{
	struct sim_parent *sp = dev_get_drvdata(dev);

	mutex_lock(&sp->reg_lock);
	sim_unregister_locked(sp);
	sp->dev = NULL;
	mutex_unlock(&sp->reg_lock);
}

/* Forget faults and figures; capacity, limit and registration stay. */
void sim_parent_reset(struct sim_parent *sp)
{
	int i;

	spin_lock(&sp->lock);
	for (i = 0; i < SIM_KNOBS; i++)
		if (i != SIM_LIMIT && i != SIM_CAPACITY)
			WRITE_ONCE(sp->knobs[i].value, 0);
	spin_unlock(&sp->lock);
	wake_up_all(&sp->wait);

	for (i = SIM_CREATES; i <= SIM_REQUESTS; i++)
		atomic_set(&sp->counters[i], 0);
	atomic_set(&sp->counters[SIM_PEAK_CREATES], atomic_read(&sp->counters[SIM_CREATING]));
	atomic_set(&sp->counters[SIM_PEAK_REMOVES], atomic_read(&sp->counters[SIM_REMOVING]));

	mutex_lock(&sp->history_lock);
	sp->history_len = 0;
	mutex_unlock(&sp->history_lock);
}

int sim_parent_add(const char *name, int capacity)
{
	struct platform_device *pdev;
	struct sim_parent *sp;
	struct device *twin;
	int ret;

	if (!sim_name_is_valid(name))
		return -EINVAL;

	/* Asked first, because the driver core would report it with a stack. */
	twin = bus_find_device_by_name(&platform_bus_type, NULL, name);
	if (twin) {
		put_device(twin);
		return -EEXIST;
	}

	/*
	 * The bus finds the driver by the platform device's name, which
	 * platform_device_add() would also give to the struct device.
	 */
	pdev = platform_device_alloc(KBUILD_MODNAME, PLATFORM_DEVID_NONE);
	if (!pdev)
		return -ENOMEM;
	pdev->dev.parent = &platform_bus;
	pdev->dev.bus = &platform_bus_type;
	ret = dev_set_name(&pdev->dev, "%s", name);
	if (ret)
		goto err_put;

	mutex_lock(&sim_parents_lock);
	sp = sim_parent_find(name) ? ERR_PTR(-EEXIST) : sim_parent_new(name, capacity);
	mutex_unlock(&sim_parents_lock);
	if (IS_ERR(sp)) {
		ret = PTR_ERR(sp);
		goto err_put;
	}

	ret = device_add(&pdev->dev);
	if (ret)
		goto err_forget;

	mutex_lock(&sim_parents_lock);
	sp->pdev = pdev;	/* from here on it can be deleted */
	mutex_unlock(&sim_parents_lock);
	return 0;

err_forget:
	mutex_lock(&sim_parents_lock);
	list_del(&sp->node);
	mutex_unlock(&sim_parents_lock);
	sim_parent_free(sp);
err_put:
	platform_device_put(pdev);
	return ret;
}

int sim_parent_del(const char *name)
{
	struct platform_device *pdev = NULL;
	struct sim_parent *sp;

	mutex_lock(&sim_parents_lock);
	sp = sim_parent_find(name);
	if (sp) {
		pdev = sp->pdev;
		sp->pdev = NULL;
	}
	mutex_unlock(&sim_parents_lock);
	if (!pdev)
		return -ENODEV;

	/* Waits for devices in use; until then the name stays taken. */
	device_unregister(&pdev->dev);

	mutex_lock(&sim_parents_lock);
	list_del(&sp->node);
	mutex_unlock(&sim_parents_lock);
	sim_parent_free(sp);
	return 0;
}

static int sim_pci_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	return sim_bind(&pdev->dev);
}

static void sim_pci_remove(struct pci_dev *pdev)
{
	sim_unbind(&pdev->dev);
}

static const struct pci_device_id sim_pci_ids[] = {
	{ PCI_DEVICE(PCI_VENDOR_ID_REDHAT, 0x0005) },	/* QEMU's pci-testdev */
	{ }
};
MODULE_DEVICE_TABLE(pci, sim_pci_ids);

static struct pci_driver sim_pci_driver = {
	.name = KBUILD_MODNAME,
	.id_table = sim_pci_ids,
	.probe = sim_pci_probe,
	.remove = sim_pci_remove,
	/* The order of the bus decides the indexes. */
	.driver.probe_type = PROBE_FORCE_SYNCHRONOUS,
};

static void sim_exit_parents(void)
{
	struct sim_parent *sp;

	/* Let every injected wait end, or the unbinding would never. */
	WRITE_ONCE(sim_exiting, true);
	mutex_lock(&sim_parents_lock);
	list_for_each_entry(sp, &sim_parents, node)
		wake_up_all(&sp->wait);
	mutex_unlock(&sim_parents_lock);

	if (pci)
		pci_unregister_driver(&sim_pci_driver);
	platform_driver_unregister(&sim_platform_driver);
	for (;;) {
		struct platform_device *pdev;

		mutex_lock(&sim_parents_lock);
		sp = list_first_entry_or_null(&sim_parents, struct sim_parent, node);
		if (sp)
			list_del(&sp->node);
		mutex_unlock(&sim_parents_lock);
		if (!sp)
			break;
		pdev = sp->pdev;
		if (pdev)
			device_unregister(&pdev->dev);
		sim_parent_free(sp);
	}
}

static int __init sim_init(void)
{
	unsigned int i;
	int ret;

	if (parents > PARENTS_MAX)
		return -EINVAL;

	ret = sim_debugfs_init();
	if (ret)
		return ret;
	ret = sim_glue_init();
	if (ret)
		goto err_debugfs;
	ret = platform_driver_register(&sim_platform_driver);
	if (ret)
		goto err_glue;
	ret = pci ? pci_register_driver(&sim_pci_driver) : 0;
	if (ret)
		goto err_platform;

	for (i = 0; i < parents; i++) {
		char name[24];

		scnprintf(name, sizeof(name), KBUILD_MODNAME ".%u", i);
		ret = sim_parent_add(name, -1);
		if (ret)
			goto err_parents;
	}
	return 0;

err_parents:
	sim_exit_parents();
	goto err_glue;
err_platform:
	platform_driver_unregister(&sim_platform_driver);
err_glue:
	sim_glue_exit();
err_debugfs:
	sim_debugfs_exit();
	return ret;
}

static void __exit sim_exit(void)
{
	/*
	 * Nobody adds or deletes parents any more: an open file in debugfs
	 * pins the module, and none can be opened once it is going.
	 */
	sim_exit_parents();
	sim_glue_exit();
	sim_debugfs_exit();
}

module_init(sim_init);
module_exit(sim_exit);

MODULE_DESCRIPTION("Parent driver of mediated devices for tests");
MODULE_LICENSE("GPL");
