"""What automation does through openstacksdk, call by call: the modules of Ansible's openstack.cloud, and metalsmith. Prints one JSON list of checks.

Usage: automation.py SCENARIO ENDPOINT [URL of a config drive]
A scenario yields the name of each step before it makes the step; the first that raises ends it."""
import json
import sys

import openstack

WAIT = 60
IMAGE = {"image_source": "http://192.0.2.1/image.raw", "image_checksum": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}


def ansible(conn, drive):
    """baremetal_node, _info, _inspect, _node_action, as the modules call them."""
    bm = conn.baremetal
    nics = [{"mac": "52:54:00:a0:00:01"}, {"mac": "52:54:00:a0:00:02"}]

    yield "baremetal_node: the node is not there"
    assert bm.find_node("auto-1") is None

    yield "baremetal_node: enrolled, with its ports, to available"
    node = conn.register_machine(nics=nics, wait=True, timeout=WAIT, name="auto-1", driver="fake-hardware", driver_info={"ipmi_password": "x"})
    assert bm.get_node(node.id).provision_state == "available"
    assert len(list(bm.ports(node=node.id))) == 2

    yield "baremetal_node: a change of driver_info and properties"
    node = bm.update_node(node.id, driver_info={"ipmi_password": "y", "ipmi_address": "192.0.2.2"}, properties={"cpus": 8})
    assert node.driver_info == {"ipmi_password": "******", "ipmi_address": "192.0.2.2"}

    yield "baremetal_node_info: by the address of a card"
    assert conn.get_nic_by_mac("52:54:00:a0:00:02")["node_id"] == node.id

    yield "baremetal_inspect: from available and back"
    assert conn.inspect_machine(node.id, wait=True, timeout=WAIT).provision_state == "available"

    # Fake hardware has no power state before somebody gives it one, in Ironic as well.
    bm.set_node_power_state(node.id, "power off", wait=True, timeout=WAIT)
    yield "baremetal_node_action: deployed, with the URL of a config drive"
    bm.update_node(node.id, instance_info=IMAGE)
    bm.validate_node(node.id)
    bm.set_node_provision_state(node.id, target="active", config_drive=drive, wait=True, timeout=WAIT)
    assert bm.get_node(node.id).power_state == "power on"

    yield "baremetal_node_action: undeployed"
    bm.update_node(node.id, instance_info={})
    bm.set_node_provision_state(node.id, target="deleted", wait=True, timeout=WAIT)
    bm.wait_for_nodes_provision_state([node.id], "available", timeout=WAIT)

    yield "baremetal_node: gone, with its ports"
    conn.unregister_machine(nics=[{"mac": "52:54:00:a0:00:01"}], uuid=node.id)
    assert bm.find_node("auto-1") is None
    assert list(bm.ports(address="52:54:00:a0:00:02")) == []


def metalsmith(conn, _):
    """deploy, list, show and undeploy, as metalsmith's provisioner calls them."""
    bm = conn.baremetal
    others, mine = (
        conn.register_machine(
            nics=[{"mac": f"52:54:00:a0:00:1{n}"}], wait=True, timeout=WAIT, name=f"smith-{n}", driver="fake-hardware", driver_info={},
            properties={"local_gb": 100, "capabilities": "boot_mode:uefi"},
        )
        for n in (1, 2)
    )
    for node in (others, mine):
        bm.update_node(node, resource_class="smith")
        bm.set_node_power_state(node, "power off", wait=True, timeout=WAIT)
    # Deployed by somebody else, who reserved nothing.
    bm.update_node(others.id, instance_info=IMAGE)
    bm.set_node_provision_state(others.id, "active", wait=True, timeout=WAIT)

    yield "deploy: the free nodes of the resource class"
    free = list(bm.nodes(details=True, associated=False, provision_state="available", maintenance=False, resource_class="smith", conductor_group=None))
    assert [node.id for node in free] == [mine.id], [node.name for node in free]

    yield "deploy: an allocation with candidates"
    allocation = bm.create_allocation(name="web-1", candidate_nodes=[mine.id], resource_class="smith", traits=None)
    allocation = bm.wait_for_allocation(allocation)
    node = bm.get_node(allocation.node_id)
    assert (node.id, node.instance_id, node.allocation_id) == (mine.id, allocation.id, allocation.id)

    yield "deploy: capabilities, instance_info and extra"
    node = bm.patch_node(node, [{"path": "/instance_info/capabilities", "op": "add", "value": {"boot_mode": "uefi"}}])
    assert bm.get_allocation("web-1").node_id == node.id
    wanted = {"root_gb": 99, "capabilities": {"boot_mode": "uefi", "boot_option": "local"}, "display_name": "web-1", **IMAGE}
    extra = {"metalsmith_created_ports": [], "metalsmith_attached_ports": []}
    node = bm.update_node(node, instance_info=wanted, extra=extra)
    bm.validate_node(node)

    yield "deploy: active, with a config drive"
    meta = {"public_keys": {"0": "ssh-ed25519 AAAA"}, "uuid": node.id, "name": node.name, "hostname": "web-1", "launch_index": 0, "files": [], "meta": {}}
    bm.set_node_provision_state(node, "active", config_drive={"meta_data": meta})
    [node] = bm.wait_for_nodes_provision_state([node], "active", timeout=WAIT)

    yield "list: its own instance alone, each with an allocation"
    known = {one.id for one in bm.allocations()}
    instances = list(bm.nodes(associated=True, details=True))
    assert [node.name for node in instances if node.resource_class == "smith"] == ["smith-2"], [node.name for node in instances]
    assert all(node.allocation_id in known for node in instances if node.resource_class == "smith")

    yield "undeploy: available, and the allocation is gone"
    bm.update_node(bm.get_node(node.id), extra={})
    node = bm.set_node_provision_state(node, "deleted", wait=False)
    [node] = bm.wait_for_nodes_provision_state([node], "available", timeout=WAIT)
    assert (bm.get_node(node.id).instance_id, [one.name for one in bm.allocations()]) == (None, [])

    bm.set_node_provision_state(others.id, "deleted", wait=True, timeout=WAIT)
    bm.wait_for_nodes_provision_state([others.id], "available", timeout=WAIT)
    for one in (others, mine):
        bm.delete_node(one.id)


SCENARIOS = {"ansible": ansible, "metalsmith": metalsmith}


def run(steps):
    """The checks of a scenario, by name."""
    checks, name = [], "preparations"
    try:
        for following in steps:
            checks.append({"name": name, "result": "passed"})
            name = following
        checks.append({"name": name, "result": "passed"})
    except Exception as error:
        checks.append({"name": name, "result": "failed", "why": f"{type(error).__name__}: {error}"})
    return checks


def main(scenario, endpoint, drive=None):
    conn = openstack.connect(auth_type="none", endpoint=endpoint, baremetal_endpoint_override=endpoint)
    print(json.dumps(run(SCENARIOS[scenario](conn, drive))))


main(*sys.argv[1:])
