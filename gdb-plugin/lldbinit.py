"""`command script import lldbinit.py` in LLDB adds the heap commands; `help heap-report` is a start."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "python"))


def __lldb_init_module(debugger, _):
    from core_inspect.dbg import lldb as plugin

    plugin.register(debugger)
