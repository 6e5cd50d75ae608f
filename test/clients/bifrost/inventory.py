#!/usr/bin/python3
"""Ansible's view of a file in the format of Bifrost's inventory (BIFROST_INVENTORY_SOURCE): each machine is a host of the group baremetal."""
import json
import os
import pathlib

import yaml

machines = yaml.safe_load(pathlib.Path(os.environ["BIFROST_INVENTORY_SOURCE"]).read_text())
for name, machine in machines.items():
    machine.setdefault("name", name)
    if "ipv4_address" not in machine:
        machine["addressing_mode"] = "dhcp"

print(json.dumps({"baremetal": {"hosts": list(machines)}, "_meta": {"hostvars": machines}}))
