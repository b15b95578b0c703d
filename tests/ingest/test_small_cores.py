"""Rate limits, tags and waits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.ingest import rate
from edgeagent.ingest.backoff import CAP_S, STABLE_S, Backoff
from edgeagent.ingest.delivery import COAP, DeliveryNumbers, coap_tag, newest_mqtt
from edgeagent.ingest.rate import BURST_S, RateLimit, rate_limit


def test_no_limit_is_none():
    assert rate_limit(0, 0) is None
    assert rate_limit(0, 1) is not None


@given(
    st.integers(1, 1000),
    st.lists(st.floats(0, 1, allow_nan=False), min_size=1, max_size=200),
)
def test_a_unit_gets_its_rate_and_one_burst_at_most(per_second, pauses):
    limit = RateLimit(per_second, 0)
    now, taken = 1000.0, 0
    for pause in pauses:
        now += pause
        taken += limit.allows(b"t", now)
    assert 1 <= taken <= (now - 1000.0) * per_second + max(1, BURST_S * per_second) + 1


def test_who_keeps_to_the_rate_is_never_refused():
    limit = RateLimit(0, 0.2)
    assert all(limit.allows(b"t", 5.0 * number) for number in range(1, 1000))


def test_topics_have_their_own_bucket_and_a_refusal_takes_nothing():
    limit = RateLimit(6, 2)
    assert [limit.allows(b"a", 10.0) for _ in range(6)] == [True] * 4 + [False] * 2
    assert [limit.allows(b"b", 10.0) for _ in range(6)] == [True] * 4 + [False] * 2
    assert [limit.allows(b"c", 10.0) for _ in range(6)] == [True] * 4 + [False] * 2, (
        "12 of the unit: its burst"
    )
    assert not limit.allows(b"d", 10.0)
    assert limit.allows(b"d", 10.2)


def test_invented_topics_share_one_bucket_until_silent_ones_are_swept(monkeypatch):
    monkeypatch.setattr(rate, "MAX_SOURCES", 10)
    limit = RateLimit(0, 1)
    assert all(limit.allows(b"%d" % number, 100.0) for number in range(10))
    taken = sum(limit.allows(b"new%d" % number, 100.5) for number in range(100))
    assert taken == 2
    assert len(limit._full) == 10
    assert limit.allows(b"later", 100.5 + rate.SWEEP_S)
    assert len(limit._full) == 1


def test_packet_ids_go_round_and_numbers_do_not():
    numbers = DeliveryNumbers(0)
    seen = [numbers.of(count % 65_535 + 1) for count in range(200_000)]
    assert seen == sorted(set(seen))
    assert numbers.of(seen[-1] & 0xFFFF) == seen[-1]
    again = [numbers.of(one & 0xFFFF) for one in seen[-20_000:]]
    assert again == seen[-20_000:], "redelivered ids get the numbers that they had"


def test_numbers_go_on_after_a_restart_and_begin_anew_with_a_session():
    first = DeliveryNumbers(0)
    sent = [first.of(count % 65_535 + 1) for count in range(70_000)]
    tags = [*sent, coap_tag("[::1]:5", b"t", 1)]
    second = DeliveryNumbers(newest_mqtt(tags))
    assert [second.of(one & 0xFFFF) for one in sent[-100:]] == sent[-100:]
    second.forget()
    assert second.of(1) > sent[-1]
    assert newest_mqtt([]) == 0


def test_coap_tags_tell_senders_messages_and_tokens_apart():
    tags = {
        coap_tag("[::1]:5", b"t", 1), coap_tag("[::1]:6", b"t", 1), coap_tag("[::1]:5", b"u", 1),
        coap_tag("[::1]:5", b"t", 2),
    }  # fmt: skip
    assert len(tags) == 4
    assert all(COAP <= tag < 1 << 64 for tag in tags)
    assert coap_tag("[::1]:5", b"t", 1) in tags


@pytest.mark.parametrize(("jitter", "share"), [(0.0, 0.5), (1.0, 1.0)])
def test_waits_double_up_to_the_cap_and_shrink_after_a_good_connection(jitter, share):
    backoff = Backoff(lambda: jitter)
    waits = [backoff.after(0.0) for _ in range(10)]
    assert waits[:4] == [share * whole for whole in (0.5, 1, 2, 4)]
    assert waits[-1] == CAP_S * share
    assert backoff.after(STABLE_S - 1) == CAP_S * share
    assert backoff.after(STABLE_S) == 0.5 * share
