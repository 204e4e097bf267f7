"""`source gdbinit.py` in gdb adds the heap commands; `help heap-report` is a start."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "python"))

from core_inspect.dbg import gdb as _plugin  # noqa: E402: the path comes first

_plugin.register()
