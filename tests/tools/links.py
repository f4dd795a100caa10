#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks every relative link of the Markdown files in a folder: the file exists, and has the heading that the link names.

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
    """The anchors of a file's headings, as Markdown renderers generate them."""
    headings = re.findall(r"^#+ +(.+?) *#*$", _FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken(root: Path, pages: Iterable[Path] | None = None) -> Iterator[str]:
    """Broken links, each with its file. A link to a file outside of the folder is broken even if that file exists.

    :param pages: the Markdown files to check, by default all files of the folder
    """
    for path in sorted(root.rglob("*.md") if pages is None else pages):
        # The text of a link may be code, so code outside of links is replaced before the search.
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
    print("\n".join(found) if found else f"every link of {len(list(root.rglob('*.md')))} files is valid")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
