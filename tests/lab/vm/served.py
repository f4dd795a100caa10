# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The service on a virtual machine, as its clients see it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lab import wait_until
from openai import OpenAI, OpenAIError
from virtual import Machine

QUESTION = "Name three rivers."


@dataclass(frozen=True)
class Service:
    """The service of O(settings) in the inventory. Its first answer is kept in O(kept), since greedy answers are the same on every run."""

    machine: Machine
    settings: dict[str, Any]
    kept: Path

    @property
    def unit(self) -> str:
        """Its unit."""
        return f"vllm-{self.settings['name']}.service"

    def ask(self) -> str:
        """Its answer, always to the same question; empty when none comes."""
        address = f"http://{self.machine.address}:{self.settings['port']}/v1"
        client = OpenAI(base_url=address, api_key=self.settings["api_key"], timeout=60, max_retries=0)
        try:
            done = client.chat.completions.create(
                model=self.settings["name"], messages=[{"role": "user", "content": QUESTION}], max_tokens=24, temperature=0
            )
        except OpenAIError:
            return ""
        return f"{done.choices[0].message.content} ({done.choices[0].finish_reason})"

    def keep_answer(self) -> None:
        """What it says now is the right answer from now on."""
        said = self.ask()
        assert said, self.machine.journal(self.unit)
        self.kept.write_text(said, encoding="utf-8")

    def answers(self) -> bool:
        """Whether it gives the right answer. A wrong one is the end of the test, none is not."""
        said = self.ask()
        if said and said != self.kept.read_text(encoding="utf-8"):
            pytest.fail(f"another answer than before: {said!r}")
        return bool(said)

    def answers_since(self, began: float, seconds: float = 1800) -> float:
        """Wait for the right answer. The seconds since O(began), a value of time.monotonic()."""
        wait_until(self.answers, began + seconds - time.monotonic(), f"the right answer of {self.unit}", every=1)
        return time.monotonic() - began

    def show(self, name: str) -> str:
        """A property of its unit."""
        return self.machine.output(f"systemctl show --value --property={name} {self.unit}")

    def restarts(self) -> int:
        """How often systemd has started its unit again; -1 while the machine does not answer, as one without free memory may not."""
        done = self.machine.run(f"systemctl show --value --property=NRestarts {self.unit}")
        return int(done.stdout) if done.returncode == 0 else -1
