"""`command script import lldbinit.py` in LLDB adds the heap commands; `help heap-report` is a start."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "python"))


def __lldb_init_module(debugger, _):
    if not hasattr(debugger, "HandleCommand"):
        # `lldb -P` of Debian 12's LLDB 14 names a folder that is not there.
        print(
            "core-inspect: this LLDB does not find its own Python package; start it with its folder, such as\n"
            "  PYTHONPATH=/usr/lib/llvm-14/lib/python3.11/dist-packages lldb"
        )
        return
    from core_inspect.dbg import lldb as plugin

    plugin.register(debugger)
