"""A pass of python3-sushy over the same BMCs, with 64 threads: argv is the number of BMCs and the port. Prints seconds and CPU time of each of two passes as JSON."""
import json, resource, sys, time, urllib3, warnings
from concurrent.futures import ThreadPoolExecutor
import sushy

warnings.simplefilter("ignore")
urllib3.disable_warnings()
count, port = int(sys.argv[1]), sys.argv[2]
addresses = ["https://127.77.%d.%d:%s" % (i // 200, i % 200 + 1, port) for i in range(count)]
systems = {}


def look(address):
    if address not in systems:
        root = sushy.Sushy(address, username="admin", password="secret", verify=False)
        systems[address] = root.get_system("/redfish/v1/Systems/1")
    else:
        systems[address].refresh(force=True)
    return systems[address].power_state


def one():
    start, before = time.time(), resource.getrusage(resource.RUSAGE_SELF)
    with ThreadPoolExecutor(64) as pool:
        answered = sum(1 for state in pool.map(look, addresses) if state)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": time.time() - start, "cpuMs": cpu * 1000, "failed": count - answered}


print(json.dumps([one(), one()]))
