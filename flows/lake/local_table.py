"""A Delta table in a local folder of any name.

The library opens a table by its URL, and polars opens its files by their paths. The two write a folder's name
differently: `My%20Stores` and `My Stores`.
"""

from pathlib import Path
from typing import Any

from deltalake import DeltaTable

SCHEME = "file://"


class LocalTable(DeltaTable):  # type: ignore[misc]
    """The Delta table in a folder, which polars can read whatever the folder's name is."""

    def __init__(self, folder: Path) -> None:
        """Open the table. Raises as DeltaTable."""
        super().__init__(folder.absolute().as_uri())
        self._root = f"{folder.absolute()}/"

    @property
    def table_uri(self) -> str:
        """Return the folder with `file://` before it, in the form that polars expects."""
        return SCHEME + self._root

    def file_uris(self, *args: Any, **kwargs: Any) -> list[str]:
        """Return the paths of the table's files."""
        written = super().table_uri.removeprefix(SCHEME)
        return [
            self._root + uri.removeprefix(SCHEME).removeprefix(written) for uri in super().file_uris(*args, **kwargs)
        ]
