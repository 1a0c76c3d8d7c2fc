"""Where chains are kept: `MemoryStore` in this process, `FileStore` in a data directory, behind `ChainStore`."""

from theater_bus.host.chain.file import FileSettings, FileStore
from theater_bus.host.chain.memory import MemoryStore
from theater_bus.host.chain.store import ChainStore, Done, Page, Watcher

__all__ = ["ChainStore", "Done", "FileSettings", "FileStore", "MemoryStore", "Page", "Watcher"]
