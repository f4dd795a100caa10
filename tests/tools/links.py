#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks every relative link of the Markdown files in a folder: the file exists, and so does the heading if the link names one.

    tests/tools/links.py FOLDER        prints each broken link; exit status 1 when there is one
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def anchors(text: str) -> set[str]:
    """The names of a file's headings, as renderers of Markdown make them."""
    headings = re.findall(r"^#+ +(.+?) *#*$", _FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken(root: Path, pages: Iterable[Path] | None = None) -> Iterator[str]:
    """Broken links, each with its file. A link out of the folder is broken, whatever is there by chance.

    :param pages: the Markdown files to look at; all in the folder when not given
    """
    for path in sorted(root.rglob("*.md") if pages is None else pages):
        # Links are written with code as their text, so code is blanked where it is not a link's.
        text = _CODE.sub(lambda found: "x" * len(found[0]), _FENCE.sub("", path.read_text(encoding="utf-8")))
        for link in _LINK.findall(text):
            if _ELSEWHERE.match(link):
                continue
            name, _, anchor = link.partition("#")
            target = (path.parent / name).resolve() if name else path.resolve()
            if root.resolve() not in (target, *target.parents) or not target.exists():
                yield f"{path.relative_to(root)}: {link}"
            elif anchor and (target.suffix != ".md" or anchor not in anchors(target.read_text(encoding="utf-8"))):
                yield f"{path.relative_to(root)}: {link} (no such heading)"


def main() -> int:
    root = Path(sys.argv[1])
    found = list(broken(root))
    print("\n".join(found) if found else f"every link of {len(list(root.rglob('*.md')))} files leads somewhere")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
