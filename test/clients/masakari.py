"""Masakari's own clients: many commands of `openstack` (python3-masakariclient) in one process, and events sent by the
monitors' own code (masakari-monitors). Reads one JSON object a line, {"openstack": [...]} or {"monitor": NAME, ...}, and
writes {"code", "out", "err"} a line. The only argument is the monitors' configuration file."""
import contextlib
import io
import json
import logging
import socket
import sys

import eventlet
from masakarimonitors import config
from masakarimonitors.ha import masakari
from masakarimonitors.hostmonitor.host_handler import handle_host
from masakarimonitors.instancemonitor.libvirt_handler import callback
from masakarimonitors.processmonitor.process_handler import handle_process
from openstackclient.shell import main as openstack
from oslo_utils import timeutils

config.parse_args([sys.argv[0], "--config-file", sys.argv[1]])


class Sleep:
    """The monitors wait ten seconds between two tries."""

    @staticmethod
    def sleep(_seconds):
        eventlet.sleep(0)


masakari.eventlet = type("Eventlet", (), {"greenthread": Sleep})


def host(given):
    """As the Pacemaker driver does for a node whose state in `crm_mon` changed: its own comparison, its own event."""
    handler = handle_host.HandleHost()
    for was in ("online", given["status"]):
        handler._check_if_status_changed([{"uname": given["host"], "crmd": was}])


def process(given):
    """As for a process that its restarts did not bring back."""
    handler = handle_process.HandleProcess()
    socket.gethostname = lambda: given["host"]
    down = {"process_name": given["process"], "restart_command": "false", "pre_restart_command": "",
            "post_restart_command": "", "run_as_root": False}
    handler.restart_processes([down])


def instance(given):
    """As for an event of libvirt."""
    callback.Callback().libvirt_event_callback(
        "LIFECYCLE", given["detail"], given["uuid"], "VM", given["host"], timeutils.utcnow())


MONITORS = {"host": host, "process": process, "instance": instance}

for line in sys.stdin:
    given = json.loads(line)
    out, err, log = io.StringIO(), io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger("masakarimonitors").addHandler(handler)
    logging.getLogger("masakarimonitors").setLevel(logging.INFO)
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            if "openstack" in given:
                code = openstack(given["openstack"])
            else:
                MONITORS[given["monitor"]](given)
        except SystemExit as leaving:
            code = leaving.code
        except Exception as broken:
            code, _ = 1, err.write(repr(broken))
    logging.getLogger("masakarimonitors").removeHandler(handler)
    sys.__stdout__.write(json.dumps({"code": code or 0, "out": out.getvalue() + log.getvalue(), "err": err.getvalue()}) + "\n")
    sys.__stdout__.flush()
