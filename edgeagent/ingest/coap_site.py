"""The CoAP server's one resource, on aiocoap: everything below the prefixes takes readings."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import aiocoap
from aiocoap import resource
from aiocoap.numbers import codes

from edgeagent.wire.messages import FORMAT_UNKNOWN, MAX_PAYLOAD, MAX_TOPIC

from .coap import CoapSettings, CoapStatus
from .coap_blocks import Blocks, Outcome
from .delivery import coap_tag
from .intake import Intake, Taken

EXCHANGE_LIFETIME_S: Final = 247.0
"""RFC 7252 4.8.2: how long a message may be repeated. aiocoap knows those of this run, the log those before."""
RETRY_AFTER_S: Final = 5
"""Max-Age of 5.03."""
MAX_WAITING: Final = 4096
"""Requests that may wait to be durable at once; more are answered 5.03."""
FORMATS: Final = "110 112 50 60 0"
WELL_KNOWN: Final = (".well-known", "core")

_ANSWERS: Final = {
    Outcome.CONTINUE: codes.CONTINUE,
    Outcome.INCOMPLETE: codes.REQUEST_ENTITY_INCOMPLETE,
    Outcome.TOO_LARGE: codes.REQUEST_ENTITY_TOO_LARGE,
}


class Site(resource.Resource):  # type: ignore[misc]  # aiocoap has no types
    """Answers every request, whatever its path."""

    def __init__(self, settings: CoapSettings, intake: Intake, status: CoapStatus) -> None:
        super().__init__()
        self._intake = intake
        self._status = status
        self._loop = asyncio.get_running_loop()
        self._doubtful_until = self._loop.time() + EXCHANGE_LIFETIME_S
        self._blocks = Blocks()
        self._prefixes = [prefix.strip("/").split("/") for prefix in settings.prefixes]

    async def needs_blockwise_assembly(self, request: Any) -> bool:
        """Only to cut a long list of paths; what comes in blocks is put together within bounds (coap_blocks.py)."""
        return bool(request.code == codes.GET and request.opt.block1 is None)

    async def render(self, request: Any) -> Any:
        """Answer a request; a reading only when it is durable."""
        path = tuple(request.opt.uri_path)
        if path == WELL_KNOWN:
            return self._well_known() if request.code == codes.GET else _answer(codes.METHOD_NOT_ALLOWED)
        if request.code not in {codes.POST, codes.PUT}:
            return _answer(codes.METHOD_NOT_ALLOWED)
        topic, fault = self._topic(path)
        if fault is not None:
            self._status.bad_requests += 1
            return fault
        if self._intake.full or self._status.waiting >= MAX_WAITING:
            self._status.busy += 1
            busy = _answer(codes.SERVICE_UNAVAILABLE)
            busy.opt.max_age = RETRY_AFTER_S
            return busy
        payload = self._payload(request, path)
        if isinstance(payload, Outcome):
            answer = _answer(_ANSWERS[payload])
            if payload is Outcome.TOO_LARGE:
                self._status.oversized += 1
                answer.opt.size1 = MAX_PAYLOAD
        else:
            answer = await self._hand_in(request, topic, payload)
        # RFC 7959 2.2: the answer to a block repeats its option.
        answer.opt.block1 = request.opt.block1
        return answer

    def _topic(self, path: tuple[str, ...]) -> tuple[bytes, Any]:
        """The path as a topic, or the answer that refuses it."""
        below = not self._prefixes or any(list(path[: len(one)]) == one for one in self._prefixes)
        if not below or not any(path):
            return b"", _answer(codes.NOT_FOUND, "readings go below the paths that .well-known/core lists")
        topic = "/".join(path).encode()
        if len(topic) > MAX_TOPIC or any(set(segment) & set("/+#\0") for segment in path):
            return b"", _answer(
                codes.BAD_REQUEST, "the path is too long or has one of / + # NUL in a segment"
            )
        return topic, None

    def _payload(self, request: Any, path: tuple[str, ...]) -> bytes | Outcome:
        block = request.opt.block1
        payload = bytes(request.payload)
        if block is None:
            return payload if len(payload) <= MAX_PAYLOAD else Outcome.TOO_LARGE
        key = (request.remote.hostinfo, int(request.code), path, request.opt.content_format)
        return self._blocks.feed(key, block.start, payload, self._loop.time(), more=block.more)

    async def _hand_in(self, request: Any, topic: bytes, payload: bytes) -> Any:
        status = self._status
        content_format = request.opt.content_format
        became = self._intake.add(
            topic,
            payload,
            FORMAT_UNKNOWN if content_format is None else int(content_format),
            coap_tag(request.remote.hostinfo, request.token, request.mid),
            maybe_duplicate=self._loop.time() < self._doubtful_until,
        )
        status.messages += 1
        status.bytes += len(topic) + len(payload)
        status.duplicates += became is Taken.DUPLICATE
        status.dropped += became is Taken.DROPPED
        durable: asyncio.Future[None] = self._loop.create_future()
        self._intake.when_durable(lambda: None if durable.done() else durable.set_result(None))
        status.waiting += 1
        try:
            await durable
        finally:
            status.waiting -= 1
        return _answer(codes.CHANGED)

    def _well_known(self) -> Any:
        paths = ["/".join(one) for one in self._prefixes] or [""]
        links = ",".join(f'</{path}>;rt="edgeagent.readings";ct="{FORMATS}"' for path in paths)
        answer = _answer(codes.CONTENT, links)
        answer.opt.content_format = 40
        return answer


def _answer(code: Any, text: str = "") -> Any:
    return aiocoap.Message(code=code, payload=text.encode())


async def listen(settings: CoapSettings, intake: Intake, status: CoapStatus) -> Any:
    """A listening context; its shutdown() ends it. OSError if it can't be bound."""
    site = Site(settings, intake, status)
    return await aiocoap.Context.create_server_context(
        site, bind=(settings.host, settings.port), transports=["udp6"]
    )
