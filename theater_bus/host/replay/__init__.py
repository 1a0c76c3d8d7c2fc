"""Replay: run what a chain records through its package again, with no capability at all.

    report = await replay(segments, objects)              # the package lies in `objects` by its digest
    report = await replay(segments, objects, package=wasm)  # or is given; another one is compared with the record

Every host call is answered from the record, matched by interface, function and input, in order. The rules are in
`theater_bus.core.chain.divergence`; `guest` is the seam between them and what runs guests.
"""

from theater_bus.host.replay.guest import LoadGuest, ReplayGuest, Stopped, load_pack_guest
from theater_bus.host.replay.objects import Objects
from theater_bus.host.replay.replay import Replay, replay
from theater_bus.host.replay.report import ReplayReport, Verdict

__all__ = [
    "LoadGuest",
    "Objects",
    "Replay",
    "ReplayGuest",
    "ReplayReport",
    "Stopped",
    "Verdict",
    "load_pack_guest",
    "replay",
]
