"""Messages into a CoAP server through aiocoap's client: confirmable POSTs, as from many devices at once."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from types import TracebackType
from typing import Self
from urllib.parse import quote

import aiocoap
from aiocoap.error import Error as CoapError

from edgeagent.errors import UnreachableError

from .address import Address
from .message import Message

DEVICES = 256
"""Endpoints that messages come from, at most; each has one request under way (RFC 7252 section 4.7, NSTART)."""
QUEUE = 64
"""Messages that wait for one endpoint."""
TRIES = 20
"""How often a message is offered to a server that answers 5.03 (busy, with Max-Age)."""
PATIENCE_S = 60


class CoapOutbox:
    """Each path has an endpoint, up to DEVICES of them, and so its messages come in order.

    As devices do: one that shared its endpoint with others would wait for their answers, and its readings came late.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="coap")
        self._queues: list[asyncio.Queue[Message]] = []
        self._endpoints: dict[str, int] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._contexts: list[aiocoap.Context] = []
        self._fault: UnreachableError | None = None
        self.acknowledged = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def _call(self, what: object) -> Future[None]:
        return asyncio.run_coroutine_threadsafe(what, self._loop)  # type: ignore[arg-type]

    async def _start(self) -> None:
        context = await aiocoap.Context.create_client_context()
        queue: asyncio.Queue[Message] = asyncio.Queue(QUEUE)
        self._contexts.append(context)
        self._queues.append(queue)
        self._tasks.append(asyncio.create_task(self._endpoint(context, queue)))

    async def _endpoint(self, context: aiocoap.Context, queue: asyncio.Queue[Message]) -> None:
        while True:
            message = await queue.get()
            if self._fault is None:
                try:
                    await self._offer(context, message)
                    self.acknowledged += 1
                except UnreachableError as error:
                    self._fault = error
            queue.task_done()

    async def _offer(self, context: aiocoap.Context, message: Message) -> None:
        uri = f"{self._address}/{quote(message.topic)}"
        for _ in range(TRIES):
            request = aiocoap.Message(
                code=aiocoap.POST, uri=uri, payload=message.payload, content_format=message.content_format
            )
            try:
                async with asyncio.timeout(PATIENCE_S):
                    answer = await context.request(request).response
            except (CoapError, OSError, TimeoutError) as error:
                raise self._unreachable(f"the CoAP server doesn't answer: {error!r}") from error
            if answer.code.is_successful():
                return
            if answer.code != aiocoap.SERVICE_UNAVAILABLE:
                raise self._unreachable(f"the CoAP server answers {answer.code} to {message.topic}")
            await asyncio.sleep(answer.opt.max_age or 1)
        raise self._unreachable(f"the CoAP server was busy {TRIES} times in a row")

    def send(self, message: Message) -> None:
        """Queue for the path's endpoint; waits while QUEUE messages wait there."""
        if self._fault:
            raise self._fault
        number = self._endpoints.setdefault(message.topic, len(self._endpoints) % DEVICES)
        if number == len(self._queues):
            self._call(self._start()).result()
        queue = self._queues[number]
        try:
            self._call(queue.put(message)).result(PATIENCE_S)
        except TimeoutError:
            raise self._unreachable(f"the CoAP server has taken nothing for {PATIENCE_S} s") from None

    def finish(self) -> None:
        """Wait for the last answers."""
        for queue in self._queues:
            self._call(queue.join()).result()
        if self._fault:
            raise self._fault

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._stop()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for context in self._contexts:
            await context.shutdown()

    def _unreachable(self, what: str) -> UnreachableError:
        return UnreachableError(what, where=str(self._address), remedy="Is it running and reachable?")
