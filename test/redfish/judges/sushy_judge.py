"""What python3-sushy (the library of OpenStack Ironic) makes of a Redfish service: one JSON document of what it found and did. Arguments: origin, user; password on standard input."""
import json
import sys

import sushy
from sushy import auth, exceptions

origin, user = sys.argv[1:3]
password = sys.stdin.read()


def connect(secret):
    return sushy.Sushy(origin, verify=False, auth=auth.SessionAuth(user, secret))


def refused(work):
    try:
        work()
    except exceptions.SushyError as error:
        return type(error).__name__
    return None


found = {"wrong_password": refused(lambda: connect(password + "x"))}
root = connect(password)
[path] = root.get_system_collection().members_identities
system = root.get_system(path)
found["system"] = [system.manufacturer, system.serial_number, system.uuid, str(system.power_state.value)]
found["reset_types"] = sorted(one.value for one in system.get_allowed_reset_system_values())
found["managers"] = [manager.manager_type.value for manager in system.managers]
found["chassis"] = [chassis.chassis_type.value for chassis in system.chassis]

system.set_system_boot_options(
    sushy.BOOT_SOURCE_TARGET_PXE, enabled=sushy.BOOT_SOURCE_ENABLED_ONCE, mode=sushy.BOOT_SOURCE_MODE_UEFI
)
system.refresh(force=True)
found["boot"] = [system.boot.target.value, system.boot.enabled.value, system.boot.mode.value]
system.reset_system(sushy.RESET_ON)
system.refresh(force=True)
found["on"] = [system.power_state.value, system.boot.enabled.value]
found["on_again"] = refused(lambda: system.reset_system(sushy.RESET_ON))
system.reset_system(sushy.RESET_FORCE_OFF)
system.refresh(force=True)
found["off"] = system.power_state.value


def media():
    slots = system.managers[0].virtual_media.get_members()
    slot = next(one for one in slots if sushy.VIRTUAL_MEDIA_CD in one.media_types)
    url = "http://192.0.2.1/boot.iso"
    slot.insert_media(url)
    slot.refresh(force=True)
    inserted = [slot.inserted, slot.image == url]
    slot.eject_media()
    slot.refresh(force=True)
    return inserted + [slot.inserted]


def bios():
    name, value = "WorkloadProfile", "LowLatency"
    was = system.bios.attributes[name]
    system.bios.set_attribute(name, value)
    system.bios.refresh(force=True)
    waits = [system.bios.attributes[name] == was, system.bios.pending_attributes[name] == value]
    system.reset_system(sushy.RESET_ON)
    system.bios.refresh(force=True)
    return waits + [system.bios.attributes[name] == value]


def secure_boot():
    system.secure_boot.set_enabled(True)
    system.secure_boot.refresh(force=True)
    return [system.secure_boot.enabled, system.secure_boot.mode.value]


# Families that a service may lack.
for name, work in (("media", media), ("bios", bios), ("secure_boot", secure_boot)):
    try:
        found[name] = work()
    except exceptions.MissingAttributeError:
        found[name] = None

sessions = root.get_session_service().sessions
found["sessions"] = len(sessions.members_identities)
json.dump(found, sys.stdout)
