"""The marker with which a plugin declares that a function implements a hook of theater_bus."""

from pluggy import HookimplMarker

__all__ = ["PROJECT", "hookimpl"]

PROJECT = "theater_bus"
hookimpl = HookimplMarker(PROJECT)
