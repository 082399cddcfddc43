"""Files: written whole or not at all; arrays, TOML and JSON from anybody."""

from spicesim.files.atomic import (
    STANDARD_OUTPUT,
    exists,
    write_bytes,
    write_json,
    write_text,
)
from spicesim.files.cache import cache_folder

__all__ = [
    "STANDARD_OUTPUT",
    "cache_folder",
    "exists",
    "write_bytes",
    "write_json",
    "write_text",
]
