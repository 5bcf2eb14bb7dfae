"""Files that are written whole or not at all."""

import os
import secrets
from pathlib import Path


def write_whole(path, text) -> None:
    """Write a file in one step: whoever is interrupted leaves the old one or the new one.

    Folders are made as needed. The file has the mode that any new file of this user gets.

    Args:
        path: of the file.
        text: what is to stand in it, written as UTF-8 with its line ends as they are; what UTF-8
            cannot say becomes "?".

    Raises:
        OSError: if it cannot be written; then nothing is left beside it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_whole(Path(folder, "new", "marks.csv"), "anna,8")
    ...     Path(folder, "new", "marks.csv").read_text()
    'anna,8'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name[:200]}.{secrets.token_hex(4)}.part")
    try:
        with open(draft, "x", encoding="utf-8", errors="replace", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
