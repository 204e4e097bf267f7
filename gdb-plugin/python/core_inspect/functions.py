"""What an address is, as one value: for conditions and scripts of a debugger."""

from .dbg import UserError
from .errors import Error


def _chunk(session, address):
    try:
        return session.inspection().ask("chunk", f"{address:#x}", "--quiet")
    except Error as error:
        raise UserError(str(error)) from None


def heap_size(session, address):
    """Usable bytes of the chunk at an address; 0 when there is none."""
    chunk = _chunk(session, address).chunk
    return chunk.size_bytes if chunk else 0


def heap_type(session, address):
    """Type of the chunk at an address; what else is there when there is none."""
    answer = _chunk(session, address)
    return answer.chunk.type if answer.chunk else answer.text


def heap_owner(session, address):
    """How the program gets to the chunk at an address: an expression, else whoever alone holds it; "" when nobody does."""
    answer = _chunk(session, address)
    return answer.owner or next((step.name for step in answer.dominators), "")


FUNCTIONS = [heap_size, heap_type, heap_owner]
