"""Blocks of CoAP requests: order, gaps, bounds."""

from edgeagent.ingest.coap_blocks import IDLE_S, MAX_TRANSFERS, Blocks, Outcome
from edgeagent.wire.messages import MAX_PAYLOAD


def test_blocks_in_order_make_the_payload():
    blocks = Blocks()
    assert blocks.feed("a", 0, b"x" * 16, 0.0, more=True) is Outcome.CONTINUE
    assert blocks.feed("b", 0, b"y" * 16, 0.0, more=True) is Outcome.CONTINUE
    assert blocks.feed("a", 16, b"z", 0.0, more=False) == b"x" * 16 + b"z"
    assert blocks.feed("c", 0, b"whole", 0.0, more=False) == b"whole"
    assert blocks.held == 16


def test_gaps_repeats_and_strangers_are_incomplete():
    blocks = Blocks()
    assert blocks.feed("a", 16, b"", 0.0, more=False) is Outcome.INCOMPLETE
    blocks.feed("a", 0, b"x" * 16, 0.0, more=True)
    assert blocks.feed("a", 32, b"x", 0.0, more=True) is Outcome.INCOMPLETE
    assert blocks.held == 0


def test_a_first_block_begins_anew():
    blocks = Blocks()
    blocks.feed("a", 0, b"old_old_old_old_", 0.0, more=True)
    blocks.feed("a", 0, b"new_new_new_new_", 0.0, more=True)
    assert blocks.feed("a", 16, b"!", 0.0, more=False) == b"new_new_new_new_!"


def test_bounds():
    blocks = Blocks()
    assert blocks.feed("a", MAX_PAYLOAD, b"x", 0.0, more=True) is Outcome.TOO_LARGE
    for number in range(MAX_TRANSFERS * 3):
        blocks.feed(number, 0, b"x" * 1024, float(number), more=True)
        assert blocks.held <= MAX_TRANSFERS * 1024
    assert blocks.feed(0, 1024, b"x", 200.0, more=False) is Outcome.INCOMPLETE
    last = MAX_TRANSFERS * 3 - 1
    assert blocks.feed(last, 1024, b"x", last + IDLE_S + 1, more=False) is Outcome.INCOMPLETE
