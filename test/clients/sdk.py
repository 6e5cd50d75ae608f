"""openstacksdk against a conductor: what Ansible's modules and Nova's driver call. Prints one JSON document; any surprise is an exception."""
import json
import sys

import openstack
from openstack import exceptions

conn = openstack.connect(auth_type="none", endpoint=sys.argv[1], baremetal_endpoint_override=sys.argv[1])
bm = conn.baremetal
seen = {}

node = bm.create_node(driver="fake-hardware", name="sdk-1", resource_class="sdk", properties={"cpus": 4}, provision_state="enroll")
seen["enrolled"] = node.provision_state
port = bm.create_port(node_id=node.id, address="52:54:00:5d:00:01")
seen["port"] = [one.address for one in bm.ports(details=True, node=node.id)]
group = bm.create_port_group(node_id=node.id, name="sdk-bond", address="52:54:00:5d:00:02")
bm.update_port_group(group, mode="802.3ad")
seen["group"] = bm.get_port_group(group).mode
node = bm.set_node_provision_state(node, "manage", wait=True, timeout=30)
node = bm.set_node_provision_state(node, "inspect", wait=True, timeout=30)
seen["validated"] = sorted(name for name, one in bm.validate_node(node, required=("boot", "power")).items() if one.result)
steps = [{"interface": "deploy", "step": "erase_devices_metadata"}]
node = bm.set_node_provision_state(node, "clean", clean_steps=steps, wait=True, timeout=30)
bm.set_node_traits(node, ["CUSTOM_SDK"])
node = bm.set_node_provision_state(node, "provide", wait=True, timeout=30)
bm.set_node_power_state(node, "power off", wait=True, timeout=30)
allocation = bm.create_allocation(name="sdk-a", resource_class="sdk", traits=["CUSTOM_SDK"])
allocation = bm.wait_for_allocation(allocation, timeout=30)
seen["allocated"] = allocation.node_id == node.id
node = bm.set_node_provision_state(node, "active", config_drive={"meta_data": {"hostname": "sdk"}}, wait=True, timeout=30)
seen["active"] = [node.provision_state, bm.get_node(node).is_maintenance]
bm.set_node_power_state(node, "power off")
bm.wait_for_node_power_state(node, "power off", timeout=30)
bm.set_node_boot_device(node, "pxe", persistent=True)
bm.attach_vif_to_node(node, "vif-9")
seen["vifs"] = bm.list_node_vifs(node)
bm.detach_vif_from_node(node, "vif-9")
node = bm.set_node_provision_state(node, "rebuild", wait=True, timeout=30)
node = bm.set_node_provision_state(node, "rescue", rescue_password="x", wait=True, timeout=30)
bm.set_node_provision_state(node, "unrescue")
[node] = bm.wait_for_nodes_provision_state([node], "active", timeout=30)
node = bm.set_node_provision_state(node, "deleted", wait=True, timeout=30)
seen["undeployed"] = [node.provision_state, bm.get_node(node).instance_id]
seen["listed"] = [one.name for one in bm.nodes(details=True, resource_class="sdk")]
seen["paged"] = len({one.id for one in bm.nodes(limit=1)}) == len(list(bm.nodes()))
bm.set_node_maintenance(node, "fan")
seen["reason"] = bm.get_node(node).maintenance_reason
bm.unset_node_maintenance(node)
node = bm.update_node(node, extra={"a": 1}, owner="the SDK")
bm.patch_node(node, [{"op": "remove", "path": "/extra/a"}])
seen["patched"] = [bm.get_node(node).extra, bm.get_node(node).owner]
template = bm.create_deploy_template(name="CUSTOM_SDK_T", steps=[{"interface": "deploy", "step": "hold", "args": {}, "priority": 90}])
seen["template"] = bm.get_deploy_template(template).name
bm.delete_deploy_template(template)
chassis = bm.create_chassis(description="row")
bm.delete_chassis(bm.get_chassis(chassis))
connector = bm.create_volume_connector(node_id=node.id, type="iqn", connector_id="iqn.2020-01.org:sdk")
target = bm.create_volume_target(node_id=node.id, volume_type="iscsi", boot_index=0, volume_id="v")
seen["volumes"] = [len(list(bm.volume_connectors())), len(list(bm.volume_targets()))]
bm.delete_volume_connector(connector)
bm.delete_volume_target(target)
seen["drivers"] = sorted(one.name for one in bm.drivers())
seen["conductors"] = [one.alive for one in bm.conductors()] if hasattr(bm, "conductors") else [True]
for what, call in {
    "missing": lambda: bm.get_node("nobody"),
    "taken": lambda: bm.create_node(driver="fake-hardware", name="sdk-1"),
    "refused": lambda: bm.set_node_provision_state(node, "rescue", rescue_password="x"),
}.items():
    try:
        call()
        seen[what] = "no error"
    except exceptions.HttpException as error:
        seen[what] = error.status_code if hasattr(error, "status_code") else str(error)
bm.delete_port_group(group)
bm.delete_port(port)
node = bm.set_node_provision_state(node, "manage", wait=True, timeout=30)
bm.delete_node(node)
seen["gone"] = bm.find_node("sdk-1") is None
print(json.dumps(seen))
