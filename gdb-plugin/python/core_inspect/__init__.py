"""What holds the memory of a Linux process, from its core.

    >>> import core_inspect
    >>> core = core_inspect.open("core.1234", "./server")
    >>> core.suspects[0].owner, core.suspects[0].elements
    ('g_server.pending_', 20000)

`__init__.pyi`, beside this file, is the manual: every answer with its fields.
"""

from .errors import Error
from .inspection import Inspection, Record, open

__all__ = ["Error", "Inspection", "Record", "open"]
