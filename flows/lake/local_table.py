"""Local tables: a Delta table in a folder of any name.

The library takes a table by its URL, and polars takes its files by their paths: a folder's name is written otherwise in
the two, as `My%20Stores` and `My Stores`.
"""

from pathlib import Path
from typing import Any

from deltalake import DeltaTable

SCHEME = "file://"


class LocalTable(DeltaTable):  # type: ignore[misc]
    """The Delta table in a folder, which polars reads whatever the folder's name."""

    def __init__(self, folder: Path) -> None:
        """Raises as DeltaTable."""
        super().__init__(folder.absolute().as_uri())
        self._root = f"{folder.absolute()}/"

    @property
    def table_uri(self) -> str:
        """The folder with `file://` before it, as polars takes it."""
        return SCHEME + self._root

    def file_uris(self, *args: Any, **kwargs: Any) -> list[str]:
        """The paths of the table's files."""
        written = super().table_uri.removeprefix(SCHEME)
        return [
            self._root + uri.removeprefix(SCHEME).removeprefix(written) for uri in super().file_uris(*args, **kwargs)
        ]
