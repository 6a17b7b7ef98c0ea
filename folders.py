"""Folders whose files a run reads: pictures, environment maps."""

from __future__ import annotations

import hashlib
from pathlib import Path

from facegen.errors import FacegenError


class FileFolder:
    """The files of a folder with certain endings, by name; other files and folders in it are passed over."""

    def __init__(self, folder: Path, suffixes: tuple[str, ...], what: str, error: type[FacegenError]) -> None:
        """List the folder.

        Args:
            folder: the folder.
            suffixes: endings in lower case, with their dots.
            what: the files are, for messages.
            error: the class of errors that concern them.

        Raises:
            FacegenError: of the class ``error``; the folder cannot be read, or has no such file.
        """
        self._error = error
        try:
            names = [entry.name for entry in folder.iterdir() if entry.suffix.lower() in suffixes and entry.is_file()]
        except OSError as reason:
            raise error(f"{folder}: {what} cannot be read ({reason.strerror})") from None
        if not names:
            raise error(f"{folder}: no {what} there; expected files {', '.join(suffixes)}")
        self.files = tuple(folder / name for name in sorted(names))

    def digest(self) -> str:
        """sha256 of names and contents, in order.

        Raises:
            FacegenError: of the class ``error``; a file cannot be read.
        """
        digest = hashlib.sha256()
        for path in self.files:
            try:
                with path.open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as reason:
                raise self._error(f"{path}: cannot be read ({reason.strerror})") from None
            digest.update(f"{path.name}\0{content}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()
