"""The actor of probe.pact in Python. What has no state gives back what it gets."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import runtime
from wit_world.imports.types import Tally


class Actor(exports.Actor):
    def init(self, state):
        return (Tally(state.count, runtime.self()),)


class WitWorld:
    def increment(self, state, by):
        runtime.log("adding")
        if by == 0:
            raise Err("nothing to add")
        grown = Tally(state.count + by, runtime.self())
        return grown, grown.count

    def get(self, state):
        return state, state.count

    def trap(self, state):
        runtime.log("trapping")
        raise RuntimeError("no Err, so this ends in a trap")

    def spin(self, state):
        while True:
            pass

    def echo(self, text):
        return text

    def echo_bytes(self, data):
        return data


class Values(exports.Values):
    def echo_bool(self, v):
        return v

    echo_u8 = echo_u16 = echo_u32 = echo_u64 = echo_s8 = echo_s16 = echo_s32 = echo_s64 = echo_bool
    echo_f32 = echo_f64 = echo_char = echo_level = echo_access = echo_shape = echo_person = echo_bool
    echo_numbers = echo_strings = echo_points = echo_lists = echo_option = echo_options = echo_bool
    echo_tuple = echo_results = echo_map = echo_bool
