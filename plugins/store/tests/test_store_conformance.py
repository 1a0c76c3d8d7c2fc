"""What is asked of every capability, of `store`."""

from hashlib import sha256

from theater_bus.testing import Example, conformance
from theater_bus_store import Store

STORE = "drawer"
REFERENCE = sha256(b"content").hexdigest()

test_conformance = conformance(
    Store,
    settings={"store_id": STORE},
    examples=[
        Example("new"),
        Example("store", STORE, b"content"),
        Example("get", STORE, REFERENCE),
        Example("exists", STORE, REFERENCE),
        Example("label", STORE, "a/label", REFERENCE),
        Example("get-by-label", STORE, "a/label"),
        Example("store-at-label", STORE, "another", b"more"),
        Example("replace-content-at-label", STORE, "another", b"less"),
        Example("replace-at-label", STORE, "another", REFERENCE),
        Example("list-all-content", STORE),
        Example("calculate-total-size", STORE),
        Example("list-labels", STORE),
        Example("remove-label", STORE, "another"),
        Example("collect-garbage", STORE, 0),
        Example("remove-store", STORE),
    ],
    refused=[
        Example("new", settings={"stores": 0}),
        Example("store", STORE, b"content"),
        Example("get", STORE, REFERENCE),
    ],
)
