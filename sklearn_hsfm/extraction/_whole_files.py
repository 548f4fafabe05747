"""Files that are there whole or not at all, whatever happens while they are written."""

import os
import uuid
from contextlib import contextmanager, suppress


@contextmanager
def whole(path):
    """Open a file that gets its name when it is complete and on the disk.

    Raises
    ------
    OSError
        If it cannot be written; the message names it.
    """
    part = path.with_name(f"{path.stem}-{uuid.uuid4().hex}.part")
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise OSError(
            error.errno, f"{path} cannot be written: {error.strerror or error}"
        ) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
