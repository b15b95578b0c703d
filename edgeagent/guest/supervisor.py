"""Shell: keeps a unit's guest running: starts it, ends it when it hangs or lies, starts it again within its budget."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from edgeagent.errors import EdgeAgentError
from edgeagent.vmm.crash import Crash
from edgeagent.vmm.port import MachineSpec, Vmm

from .budget import Budget, RestartPolicy
from .events import Event, ReadyEvent, RunningEvent
from .life import Life
from .limits import Limits
from .owner import Evidence, Owner, State, Status
from .session import Phase


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. ring: guest physical address and size of the image's log ring, None where it has none."""

    spec: MachineSpec
    ring: tuple[int, int] | None
    why: str
    """Why this accelerator."""
    limits: Limits = field(default_factory=Limits)
    policy: RestartPolicy = field(default_factory=RestartPolicy)


class Supervisor:
    """One guest of one unit. ``run`` until cancelled: that ends the machine, and nothing is left of it."""

    def __init__(
        self, vmm: Vmm, plan: Plan, owner: Owner, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.evidence: Evidence | None = None
        """Of the last guest that ended."""
        self._vmm = vmm
        self._plan = plan
        self._owner = owner
        self._clock = clock
        self._life: Life | None = None
        self._again = asyncio.Event()
        self._status = Status(State.STOPPED, plan.spec.accelerator, plan.why)
        self._logger = logging.getLogger(f"guest.{plan.spec.name}")

    # ---- asked by the owner --------------------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        """How it is now."""
        if self._life is None:
            return self._status
        return replace(self._status, acked=self._life.session.acked, log=tuple(self._life.log))

    def wake(self) -> None:
        """More input is durable, or may be read again."""
        if self._life:
            self._life.wake()

    def request_checkpoint(self) -> bool:
        """Ask for the state; False while there is no running guest, or one was asked for already."""
        return self._life is not None and self._life.checkpoint()

    async def drain(self) -> bool:
        """Give no more input and wait until the guest is through with it; the caller bounds the wait.

        False when there is no running guest. What follows is the cancellation of ``run``.
        """
        if self._life is None or self._life.session.phase is not Phase.RUNNING:
            return False
        self._is(State.DRAINING)
        await self._life.drain()
        return True

    def start_again(self) -> None:
        """Start now, with a new start budget, a guest that failed or waits."""
        self._again.set()

    # ---- the loop ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the guest running."""
        budget = Budget(self._plan.policy)
        try:
            while True:
                budget = await self._wait(budget)
                budget = budget.started(self._clock())
                self.evidence = await self._live()
                budget = budget.ended(self._clock())
                self._logger.error("%s", self.evidence.crash)
                self._is(State.WAITING, crash=self.evidence.crash, log=self.evidence.last_words, pid=0)
        finally:
            self._is(State.STOPPED, pid=0)

    async def _wait(self, budget: Budget) -> Budget:
        """Until the next start; the budget that it is counted against."""
        self._again.clear()
        delay = budget.delay(self._clock())
        if delay is None:
            policy = self._plan.policy
            self._logger.error("%d starts within %g s: it stays down", policy.starts, policy.window_s)
            self._is(State.FAILED)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._again.wait()
        if self._again.is_set():
            return Budget(self._plan.policy)
        return budget

    async def _live(self) -> Evidence:
        spec = self._plan.spec
        restarts = self._status.restarts + (self._status.crash is not None)
        self._is(State.STARTING, restarts=restarts)
        try:
            machine = await self._vmm.start(spec)
        except EdgeAgentError as error:
            crash = Crash(
                "start-failed", f"{error.where}: {error.what}" if error.where else error.what, error.remedy
            )
            return Evidence(crash, None, None, (), 0, 0)
        try:
            self._is(State.STARTING, pid=machine.pid, jail=machine.jail)
            self._life = Life(machine, self._owner, self._plan.limits, self._clock, self._changed)
            await self._life.run()
            return self._life.evidence(spec.accelerator, self._plan.ring)
        finally:
            self._life = None
            await machine.kill()

    def _changed(self, event: Event) -> None:
        match event:
            case ReadyEvent(ready):
                self._is(State.STARTING, app=ready.app, version=ready.version)
            case RunningEvent():
                self._is(State.RUNNING)

    def _is(self, state: State, **changed: Any) -> None:
        self._status = replace(self._status, state=state, **changed)
        self._owner.on_state(self.status)
