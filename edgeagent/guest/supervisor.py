"""Shell: keeps a unit's guest running: starts it, ends it when it hangs or lies, starts it again within its budget.

A guest at rest (idle or stopped) has no machine, until somebody wants it again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from edgeagent.errors import EdgeAgentError
from edgeagent.vmm.crash import Crash
from edgeagent.vmm.port import MachineSpec, Usage, Vmm

from .budget import Budget, RestartPolicy
from .events import Event, ReadyEvent, RunningEvent
from .life import Life
from .limits import Limits
from .owner import START_FAILED, Evidence, Owner, State, Status
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
    """One guest of one unit. ``run`` until cancelled: that ends the machine, and nothing is left of it.

    rest: State.IDLE or State.STOPPED to begin with no guest.
    """

    def __init__(
        self,
        vmm: Vmm,
        plan: Plan,
        owner: Owner,
        clock: Callable[[], float] = time.monotonic,
        rest: State | None = None,
    ) -> None:
        self.evidence: Evidence | None = None
        """Of the last guest that ended."""
        self._vmm = vmm
        self._plan = plan
        self._owner = owner
        self._clock = clock
        self._life: Life | None = None
        self._crashed = False
        """The last guest ended by itself."""
        self._rest = rest
        self._interrupt: asyncio.Timeout | None = None
        """Ends the guest that runs."""
        self._fresh = False
        """The next start has a new budget."""
        self._decided = asyncio.Event()
        """Somebody wants something else now."""
        self._status = Status(State.STOPPED, plan.spec.accelerator, plan.why)
        self._logger = logging.getLogger(f"guest.{plan.spec.name}")

    # ---- asked by the owner --------------------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        """How it is now."""
        if self._life is None:
            return self._status
        session = self._life.session
        return replace(
            self._status,
            acked=session.acked,
            log=tuple(self._life.log),
            throttled=session.throttled(self._clock()),
            throttled_s=self._status.throttled_s + session.throttled_s,
        )

    @property
    def usage(self) -> Usage | None:
        """What the machine uses; None while there is none. See Machine.usage for what it costs."""
        return self._life.usage if self._life else None

    def wake(self) -> None:
        """More input is durable, or may be read again."""
        if self._life:
            self._life.wake()

    def request_checkpoint(self) -> bool:
        """Ask for the state; False while there is no running guest, or one was asked for already."""
        return self._life is not None and self._life.checkpoint()

    async def drain(self) -> bool:
        """Give no more input and wait until the guest is through with it; the caller bounds the wait.

        False when there is no running guest, or it ended meanwhile. What follows is ``rest`` or the end of ``run``.
        """
        life = self._life
        if life is None or life.session.phase is not Phase.RUNNING:
            return False
        self._is(State.DRAINING)
        await life.drain()
        return life.session.drained

    def rest(self, state: State) -> None:
        """End the guest without blaming it, and start none. state: State.IDLE or State.STOPPED.

        What it hasn't acknowledged is given to the next one; ``drain`` first where nothing should be left.
        """
        if self._interrupt is not None and not self._interrupt.expired():
            self._interrupt.reschedule(0)
        self._rest = state
        self._decided.set()

    def rise(self) -> None:
        """Start a guest that is idle."""
        if self._rest is State.IDLE:
            self._rest = None
            self._decided.set()

    def start_again(self) -> None:
        """Start now, with a new start budget, a guest that failed, waits or is at rest."""
        self._rest = None
        self._fresh = True
        self._decided.set()

    # ---- the loop ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the guest running."""
        budget = Budget(self._plan.policy)
        try:
            while True:
                budget = await self._wait(budget)
                budget = budget.started(self._clock())
                evidence = await self._live_until_rest()
                if evidence is None:
                    budget = budget.rested()
                    continue
                self.evidence = evidence
                self._crashed = True
                budget = budget.ended(self._clock())
                self._logger.error("%s", evidence.crash)
                self._owner.on_end(evidence)
                self._is(State.WAITING, crash=evidence.crash, log=evidence.last_words, pid=0)
        finally:
            self._is(State.STOPPED, pid=0)

    async def _wait(self, budget: Budget) -> Budget:
        """Until the next start; the budget that it is counted against."""
        while True:
            self._decided.clear()
            if self._fresh:
                self._fresh, budget = False, Budget(self._plan.policy)
            delay = None
            if self._rest is not None:
                self._is(self._rest, pid=0, since=self._clock())
            elif (delay := budget.delay(self._clock())) is None:
                policy = self._plan.policy
                self._logger.error("%d starts within %g s: it stays down", policy.starts, policy.window_s)
                self._is(State.FAILED)
            try:
                async with asyncio.timeout(delay):
                    await self._decided.wait()
            except TimeoutError:
                return budget

    async def _live_until_rest(self) -> Evidence | None:
        """One guest; what is left of it, None when it was put to rest."""
        try:
            async with asyncio.timeout(None) as interrupt:
                self._interrupt = interrupt
                return await self._live()
        except TimeoutError:
            if not interrupt.expired():
                raise
            return None
        finally:
            self._interrupt = None

    async def _live(self) -> Evidence:
        spec = self._plan.spec
        status = self._status
        self._is(
            State.STARTING,
            starts=status.starts + 1,
            restarts=status.restarts + self._crashed,
            since=self._clock(),
        )
        self._crashed = False
        try:
            machine = await self._vmm.start(spec)
        except EdgeAgentError as error:
            crash = Crash(
                START_FAILED, f"{error.where}: {error.what}" if error.where else error.what, error.remedy
            )
            return Evidence(crash, None, None, (), 0, 0)
        try:
            self._is(State.STARTING, pid=machine.pid, jail=machine.jail)
            self._life = Life(machine, self._owner, self._plan.limits, self._clock, self._changed)
            await self._life.run()
            return self._life.evidence(spec.accelerator, self._plan.ring)
        finally:
            self._status = replace(self._status, throttled_s=self.status.throttled_s)
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
