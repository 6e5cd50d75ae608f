"""What cloud-init makes of a config drive whose files stand in a folder: its own data sources read them.

usage: cloud_init.py config-2|nocloud FOLDER WORK MAC=NAME...

Prints one JSON object. WORK takes what cloud-init writes.
"""
import json
import os
import shutil
import sys

from cloudinit import helpers, util
from cloudinit.net import eni, netplan
from cloudinit.net.network_state import parse_net_config_data
from cloudinit.sources import DataSourceConfigDrive, DataSourceNoCloud
from cloudinit.sources.helpers.openstack import convert_net_json


class Distro:
    """What the data sources ask of a distribution."""

    name = "debian"
    osfamily = "debian"

    def get_primary_arch(self):
        return "amd64"


def source(kind, folder, work):
    seeds = {"config-2": "config_drive", "nocloud": "nocloud"}
    paths = helpers.Paths({"cloud_dir": os.path.join(work, "cloud"), "run_dir": os.path.join(work, "run")})
    shutil.copytree(folder, os.path.join(paths.seed_dir, seeds[kind]))
    module = {"config-2": DataSourceConfigDrive.DataSourceConfigDrive, "nocloud": DataSourceNoCloud.DataSourceNoCloud}
    return module[kind]({}, Distro(), paths)


def network_of(found, kind, macs):
    if kind == "nocloud":
        return found.network_config
    return convert_net_json(found.network_json, known_macs=macs) if found.network_json else None


def rendered(config, work):
    """The files that Debian's two kinds of network configuration would be."""
    state = parse_net_config_data(config)
    root = os.path.join(work, "root")
    eni.Renderer({"eni_path": "etc/interfaces", "netrules_path": None}).render_network_state(state, target=root)
    netplan.Renderer({"netplan_path": "etc/netplan.yaml", "postcmds": False}).render_network_state(state, target=root)
    return {name: util.load_file(os.path.join(root, "etc", name)) for name in ("interfaces", "netplan.yaml")}


def main(kind, folder, work, *macs):
    found = source(kind, folder, work)
    if not found.get_data():
        return {"found": False}
    parts = [
        {"type": part.get_content_type(), "text": part.get_payload(decode=True).decode()}
        for part in found.get_userdata().walk()
        if not part.is_multipart()
    ]
    config = network_of(found, kind, dict(one.rsplit("=", 1) for one in macs))
    return {
        "found": True,
        "instance_id": found.get_instance_id(),
        "hostname": str(getattr(found.get_hostname(), "hostname", found.get_hostname())),
        "metadata": {key: value for key, value in found.metadata.items() if isinstance(value, (str, dict))},
        "user_data": parts,
        "vendor_data": util.load_yaml(found.get_vendordata_raw() or "null", allowed=(dict, str, type(None))),
        "network": rendered(config, work) if config else None,
    }


print(json.dumps(main(*sys.argv[1:])))
