"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from bench.errors import UserError


def write_whole(file: Path, content: bytes) -> Path:
    """Write ``content`` to a temporary file beside ``file``, then rename; makes the folder.

    Raises UserError where that fails.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.stem}")
        try:
            with os.fdopen(descriptor, "wb") as out:
                out.write(content)
            os.chmod(temporary, 0o644)  # mkstemp's files are for their owner alone
            os.replace(temporary, file)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror}; choose another place") from None
    return file
