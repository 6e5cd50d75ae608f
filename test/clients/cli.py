"""The real `baremetal` command line, many commands in one process: a second of start-up for each of a hundred would be most of the test.
Reads one JSON list of arguments a line, calls the program's own main, and writes {"code", "out", "err"} a line."""
import contextlib
import io
import json
import sys

from ironicclient.shell import main

for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(json.loads(line))
        except SystemExit as leaving:
            code = leaving.code
    sys.__stdout__.write(json.dumps({"code": code or 0, "out": out.getvalue(), "err": err.getvalue()}) + "\n")
    sys.__stdout__.flush()
