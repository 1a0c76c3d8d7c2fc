"""What is asked of every capability, of `assembler`."""

from theater_bus.testing import Example, conformance
from theater_bus_assembler import Assembler

test_conformance = conformance(
    Assembler,
    examples=[Example("wat-to-wasm", "(module)"), Example("wat-to-wasm", "(module")],
    refused=[Example("wat-to-wasm", "(module)", settings={"text_bytes": 7})],
)
