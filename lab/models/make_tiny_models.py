#!/usr/bin/env python3
# Copyright: inferops.gpu contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make a tiny model for each catalogue entry, or for those named, under its real repository id and revision.

The architecture, the context length, the special tokens and the chat format are the real ones; layers, widths and
vocabulary are tiny and the weights come from a seeded random generator. Quantised repositories are made in bfloat16:
CPUs have no kernels for their formats. How each kind is made: tiny_models/.

The result is what hub_mirror.py serves: ``<out>/<org>--<name>/<commit>/…`` with ``repo.json`` beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from tiny_models.kinds import maker_of
from tiny_models.spec import Spec, read_specs


def make_files(spec: Spec, folder: Path) -> None:
    """Write all files of one model into ``folder``."""
    make = maker_of(spec.architecture, spec.task)
    assert make is not None, spec
    make(spec, folder)
    (folder / "README.md").write_text(
        f"A tiny stand-in for {spec.repo} with random weights. It says nothing of value.\n", encoding="utf-8"
    )


def describe(path: Path, name: str) -> dict[str, Any]:
    """One file as the Hub's tree lists it: size in bytes, git's object id, for large kinds of files LFS's as well."""
    content = path.read_bytes()

    def git_oid(blob: bytes) -> str:
        return hashlib.sha1(b"blob %d\0" % len(blob) + blob).hexdigest()

    row: dict[str, Any] = {"path": name, "size": len(content), "oid": git_oid(content)}
    if path.suffix == ".safetensors" or path.name == "tokenizer.json":
        sha256 = hashlib.sha256(content).hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(content)}\n".encode()
        row["oid"] = git_oid(pointer)
        row["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": len(pointer)}
    return row


def publish(spec: Spec, out: Path) -> None:
    """Make one model beside its place and move it there, then write ``repo.json``."""
    home = out / spec.repo.replace("/", "--")
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home, prefix=".making-") as scratch:
        folder = Path(scratch)
        make_files(spec, folder)
        files = [describe(path, path.relative_to(folder).as_posix()) for path in sorted(folder.rglob("*")) if path.is_file()]
        # A branch has no commit of its own here: one is derived from the content.
        pinned = re.fullmatch(r"[0-9a-f]{40}", spec.revision) is not None
        content = hashlib.sha1(json.dumps(files, sort_keys=True).encode()).hexdigest()
        commit = spec.revision if pinned else content
        shutil.rmtree(home / commit, ignore_errors=True)
        shutil.copytree(folder, home / commit, copy_function=shutil.copyfile)
        (home / commit).chmod(0o755)  # not the scratch folder's 0700: the mirror reads as another user
    try:
        data = json.loads((home / "repo.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        data = {"id": spec.repo, "refs": {}, "revisions": {}}
    if not pinned:
        outdated = data["refs"].get(spec.revision, commit)
        if outdated != commit:
            data["revisions"].pop(outdated, None)
            shutil.rmtree(home / outdated, ignore_errors=True)
        data["refs"][spec.revision] = commit
    data["refs"]["main"] = commit
    data["revisions"][commit] = {"fingerprint": spec.fingerprint(), "files": files}
    scratch_file = home / ".repo.json"
    scratch_file.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    scratch_file.replace(home / "repo.json")


def is_made(spec: Spec, out: Path) -> bool:
    """Whether the model is there already, made from the same spec by the same code."""
    try:
        data = json.loads((out / spec.repo.replace("/", "--") / "repo.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    row = data["revisions"].get(data["refs"].get(spec.revision, spec.revision), {})
    return row.get("fingerprint") == spec.fingerprint()


def main() -> int:
    """Make what is missing. Prints the repositories made; with --check exits 3 when some are missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--catalogue", type=Path, required=True, help="folder of the catalogue's YAML files")
    parser.add_argument("--out", type=Path, required=True, help="folder to make the models in")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="catalogue entries to make; default: all")
    parser.add_argument("--check", action="store_true", help="only say which models are missing; needs no torch")
    arguments = parser.parse_args()
    missing = [spec for spec in read_specs(arguments.catalogue, arguments.only, maker_of) if not is_made(spec, arguments.out)]
    for spec in missing:
        if not arguments.check:
            publish(spec, arguments.out)
        print(f"{spec.repo}@{spec.revision}")
    return 3 if arguments.check and missing else 0


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    sys.exit(main())
