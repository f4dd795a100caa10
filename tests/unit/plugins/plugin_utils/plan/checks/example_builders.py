# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faulty inventories, each with the words of its fix that say what to do, and the inventory after that was done.

Every check of the plan has at least one, in a file of C(examples/); test_fixes.py finds all of them. A new one is a line:

    example("flags-exist", one(args(max_modle_len=5)), "did you mean max_model_len?", one(args(max_model_len=5)))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.run import EVERYWHERE, HostInput, Run
from ansible_collections.inferops.gpu.plugins.plugin_utils.plan.inputs.uncatalogued import Answer
from plan_builders import service

# Findings that these examples are not about, unless they say otherwise.
ACCEPTED = dict.fromkeys(("open-port", "key-scope", "cuda-compiler", "unchecked-values"), "of no matter here")

Inventory = tuple[HostInput, ...]


@dataclass(frozen=True)
class Example:
    """C(check) finds something in C(bad), and nothing in C(good). C(says): words of what it says, which lead from one to the other."""

    check: str
    bad: Inventory
    says: str
    good: Inventory
    costs: str = ""
    run: Run = EVERYWHERE
    run_after: Run = EVERYWHERE
    answers: Mapping[str, Answer] = field(default_factory=dict)
    on_host: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return f"{self.check}: {self.says}"


def example(check: str, bad: Inventory, says: str, good: Inventory, **more: Any) -> Example:
    """A faulty inventory and the fix of it.

    :param check: its name: the name for plan_accept, else the name of the function with dashes
    :param says: words of the fix (of a warning: of its text) that say what to do
    :param good: the inventory after that: without any error, with the check silent and no warning of checks that had none. A key that changes has to
        be in the error's words
    :param more: C(costs), words of a warning that comes with the fix or stays; C(run) and C(run_after), which hosts the runs reach; C(answers),
        what endpoints say of models, by repository; C(on_host), the facts that change because the fix is to do something on the host itself
        (another Python, a mount, a GPU that is reset): those and no others may differ
    """
    return Example(check, bad, says, good, **more)


def accepting(inventory: Inventory, **reasons: str) -> Inventory:
    """The same with findings accepted by name, dashes as underscores."""
    accepted = {name.replace("_", "-"): reason for name, reason in reasons.items()}
    return tuple(HostInput(host.name, {**host.variables, "plan_accept": {**ACCEPTED, **accepted}}, host.facts) for host in inventory)


def one(*services: Mapping[str, Any], facts: Any = None, **variables: Any) -> Inventory:
    """One host, gpu1, with these services, variables and facts."""
    return (HostInput("gpu1", {"model_services": list(services), "plan_accept": ACCEPTED, **variables}, facts),)


def hosts(**variables: Mapping[str, Any]) -> Inventory:
    """Hosts by their names with their variables; a variable C(facts) is the host's facts."""
    return tuple(
        HostInput(name, {"plan_accept": ACCEPTED, **{key: mine[key] for key in mine if key != "facts"}}, mine.get("facts")) for name, mine in variables.items()
    )


def args(**vllm_args: Any) -> dict[str, Any]:
    """A service without errors, with these arguments."""
    return service(vllm_args=vllm_args)
