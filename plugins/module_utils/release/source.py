# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a release's engine comes from. What is no index's becomes a wheel that is kept in the release, so that the lock can name it by its hash."""

from __future__ import annotations

import base64
import hashlib
import netrc
import os
import shutil
import ssl
import tempfile
import typing as t
import urllib.error
import urllib.parse
import urllib.request

from .._masking import masked
from .steps import BuildError, Status, run, uv_environment

# Folder of a release with the wheels that no index has.
WHEELS = "wheels"
_BLOCK = 1 << 20
# Bytes of an sdist or wheel: no engine's is nearly as large, and one without an end does not fill the disk.
_LARGEST = 16 * 1024**3
_SCHEMES = ("https", "http")


def engine(spec: dict[str, t.Any], folder: str, status: Status) -> tuple[str, dict[str, str]]:
    """Return the requirement for the engine, and what its source has turned out to be: the wheel, the commit, the file's sha256.

    Raises BuildError.
    """
    source = spec["source"]
    if source["kind"] == "index":
        return f"{spec['package']}=={spec['version']}", {}
    if source["kind"] == "nightly":
        return f"{spec['package']}=={'.'.join(spec['version'].split('.')[:2])}.*", {}
    work = os.path.join(folder, ".source")
    wheels = os.path.join(folder, WHEELS)
    for path in (work, wheels):
        os.mkdir(path)
    if source["kind"] == "git":
        resolved = {"commit": check_out(spec, work, status)}
        build_wheel(spec, work, wheels, status)
    else:
        archive, resolved = fetch(spec, work, status)
        if archive.endswith(".whl"):
            shutil.move(archive, wheels)
        else:
            build_wheel(spec, archive, wheels, status)
    shutil.rmtree(work)
    [wheel] = os.listdir(wheels)
    name, version = wheel.split("-")[:2]
    if name.replace("_", "-") != spec["package"].partition("[")[0]:
        raise BuildError(f"the source holds {name} {version} and not {spec['package']}", "see where vllm_source leads")
    return f"{spec['package']}=={version}", {**resolved, "wheel": wheel}


def check_out(spec: dict[str, t.Any], work: str, status: Status) -> str:
    """Get a commit, tag or branch of a git repository, with the history that tells its version; return the commit. Raises BuildError."""
    source = spec["source"]
    status.write(masked(f"fetching {source['reference']} of {source['address']}"))
    # Nobody is there to answer a question.
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -o BatchMode=yes"}
    wrong = "see that the host reaches the repository and that it has this commit, tag or branch (vllm_source)"
    with tempfile.TemporaryDirectory() as home:
        environment.update(git_home(spec, home))
        # History without the files of former commits: versions are told by the distance to the last tag.
        run(["git", "clone", "--quiet", "--filter=blob:none", "--no-checkout", source["address"], work], environment, wrong)
        run(["git", "-C", work, "fetch", "--quiet", "origin", source["reference"]], environment, wrong)
        run(["git", "-C", work, "checkout", "--quiet", "--detach", "FETCH_HEAD"], environment, wrong)
        return run(["git", "-C", work, "rev-parse", "HEAD"], environment, wrong).strip()


def git_home(spec: dict[str, t.Any], home: str) -> dict[str, str]:
    """Return the variables by which git finds users and passwords: it looks for .netrc in its home and knows no variable for it (git-credential(1)).

    Its other settings stay those of root.
    """
    path = spec.get("netrc", "")
    if not path or not os.path.exists(path):
        return {}
    os.symlink(path, os.path.join(home, ".netrc"))
    return {"HOME": home, "GIT_CONFIG_GLOBAL": os.path.join(os.path.expanduser("~root"), ".gitconfig")}


def fetch(spec: dict[str, t.Any], work: str, status: Status) -> tuple[str, dict[str, str]]:
    """Copy or download an sdist or wheel and check its sha256, where one is given; return its path and sha256. Raises BuildError."""
    source = spec["source"]
    address = source["address"]
    status.write(masked(f"fetching {address}"))
    target = os.path.join(work, os.path.basename(urllib.request.url2pathname(address)))
    digest, size = hashlib.sha256(), 0
    try:
        with open_source(address, spec.get("netrc", "")) as stream, open(target, "wb") as file:
            for block in iter(lambda: stream.read(_BLOCK), b""):
                size += len(block)
                if size > _LARGEST:
                    raise BuildError(f"{address} is longer than {_LARGEST} bytes", "see what vllm_source leads to")
                digest.update(block)
                file.write(block)
    except netrc.NetrcParseError as error:
        # Its text quotes what stands there.
        raise BuildError(f"line {error.lineno} of {error.filename} is no netrc file's", "see host_index_credentials") from None
    except (urllib.error.URLError, OSError) as error:
        said = masked(f"{address} can't be read: {error}", address if "://" in address else "")
        raise BuildError(said, "see that the host reaches it (vllm_source)") from error
    if source["sha256"] and digest.hexdigest() != source["sha256"]:
        raise BuildError(f"{address} has sha256 {digest.hexdigest()} instead of {source['sha256']}", "it was changed or cut short: see where it comes from")
    return target, {"sha256": digest.hexdigest()}


def open_source(address: str, credentials: str = "") -> t.IO[bytes]:
    """Open a file of this host or of another one, to whom its user and password of the netrc file are shown where that has any."""
    if address.startswith("/"):
        return open(address, "rb")
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=ssl.create_default_context()), Redirects)
    request = urllib.request.Request(address)
    pair = netrc.netrc(credentials).authenticators(urllib.parse.urlsplit(address).hostname or "") if credentials and os.path.exists(credentials) else None
    if pair is not None:
        # Not carried over to another host on a redirect.
        request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(f"{pair[0]}:{pair[2]}".encode()).decode())
    opened: t.IO[bytes] = opener.open(request, timeout=60)
    return opened


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to http and https alone, and never from an encrypted connection to an open one."""

    def redirect_request(self, req: t.Any, fp: t.Any, code: int, msg: str, headers: t.Any, newurl: str) -> t.Any:
        scheme = urllib.parse.urlsplit(newurl).scheme.lower()
        if scheme not in _SCHEMES or (req.type == "https" and scheme != "https"):
            raise urllib.error.URLError("it redirects to where nothing is encrypted, or to no web server")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def build_wheel(spec: dict[str, t.Any], path: str, wheels: str, status: Status) -> None:
    """Build a wheel from a source tree or an sdist, in an environment of its own that uv makes. Raises BuildError."""
    status.write("building the wheel")
    offline = ["--no-index"] if spec["index"]["no_index"] else []
    run([spec["uv"], "build", "--wheel", *offline, "--python", spec["python"], "--out-dir", wheels, path],
        {**uv_environment(spec), **spec["build_environment"]},
        "see that the host has what the build needs (vllm_build_environment, host_packages_extra), and that the indexes have its build requirements")
    # uv keeps its outputs out of git by a file of its own.
    ignore = os.path.join(wheels, ".gitignore")
    if os.path.exists(ignore):
        os.unlink(ignore)
