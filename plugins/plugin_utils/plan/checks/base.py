# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The decorators that make a function a check."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, Iterator, Union

from ..errors import PlanError, PlanWarning
from ..inputs.run import Run
from ..placement.draft import HostDraft
from ..placement.multi_node import MultiNodeService
from ..vllm.engines import VLLM

Finding = Union[PlanError, PlanWarning]
HostFunction = Callable[[HostDraft], Iterator[Finding]]
MultiNodeFunction = Callable[[MultiNodeService, Run], Iterator[Finding]]
_MARK = "plan_check"


@dataclass(frozen=True)
class Check:
    """A check of one host. C(accept) is the name by which a user may accept its findings; empty when they cannot be accepted."""

    function: HostFunction
    accept: str = ""
    every_engine: bool = False

    @property
    def name(self) -> str:
        return self.accept or _name(self.function)

    def findings(self, host: HostDraft) -> Iterator[Finding]:
        """The check's findings on a host. Unless it is for every engine, it sees only services on vLLM."""
        if not self.every_engine and any(draft.engine != VLLM for draft in host.services):
            host = replace(host, services=tuple(draft for draft in host.services if draft.engine == VLLM))
        return self.function(host)


@dataclass(frozen=True)
class MultiNodeCheck:
    """A check of a multi-node service as a whole. Its findings cannot be accepted."""

    function: MultiNodeFunction

    @property
    def name(self) -> str:
        return _name(self.function)

    def findings(self, service: MultiNodeService, run: Run) -> Iterator[Finding]:
        return self.function(service, run)


def check(accept: str = "", every_engine: bool = False) -> Callable[[HostFunction], HostFunction]:
    """Make a function the check of a host.

    :param accept: the name by which a user may accept its findings
    :param every_engine: whether it applies to services on every engine, not only to vLLM's arguments, versions and requirements
    """

    def mark(function: HostFunction) -> HostFunction:
        setattr(function, _MARK, Check(function, accept, every_engine))
        return function

    return mark


def multi_node_check(function: MultiNodeFunction) -> MultiNodeFunction:
    """Make a function the check of a multi-node service."""
    setattr(function, _MARK, MultiNodeCheck(function))
    return function


def checks_in(module: object) -> list[Check | MultiNodeCheck]:
    """The checks that a module defines, in order of definition."""
    marks = (getattr(value, _MARK, None) for value in vars(module).values() if getattr(value, "__module__", "") == getattr(module, "__name__", None))
    return [mark for mark in marks if mark is not None]


def _name(function: Callable[..., object]) -> str:
    return function.__name__.replace("_", "-")
