"""What is asked of every capability, of `filesystem`."""

from theater_bus.testing import Example, conformance
from theater_bus_filesystem import Filesystem

test_conformance = conformance(
    Filesystem,
    settings={"own_dir": True},
    examples=[
        Example("create-dir", "folder"),
        Example("write-file", "folder/text", "a text"),
        Example("write-bytes", "folder/bytes", b"\0"),
        Example("read-file", "folder/text"),
        Example("list-files", "folder"),
        Example("path-exists", "folder"),
        Example("delete-file", "folder/text"),
        Example("delete-dir", "folder"),
    ],
    refused=[Example("read-file", "/etc/hostname"), Example("write-file", "/tmp/conformance", "")],
)
