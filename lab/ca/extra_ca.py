#!/usr/bin/env python3
# Copyright: inferops.gpu contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find the CA certificates that this controller trusts in addition to the public ones, and write each to a separate file.

The proxy or package mirror of a company often uses a certificate of a private CA, which the lab's machines need too. The
script reads the controller's bundle (PIP_CERT, SSL_CERT_FILE, REQUESTS_CA_BUNDLE, else the system's) and skips the public
CAs in certifi and in the distribution's package.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import ssl
from pathlib import Path

import certifi

SYSTEM_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
PUBLIC_CAS = Path("/usr/share/ca-certificates")
PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def certificates(path: Path) -> set[bytes]:
    """All certificates of a PEM file, as DER; none if the file does not exist or is not text."""
    try:
        text = path.read_text(encoding="ascii", errors="ignore")
    except OSError:
        return set()
    return {ssl.PEM_cert_to_DER_cert(block) for block in PEM.findall(text)}


def controller_bundles() -> list[Path]:
    """The bundles that the environment sets for this controller's tools, or the system's."""
    named = [os.environ.get(name, "") for name in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")]
    return [Path(name) for name in (*filter(None, named), *SYSTEM_BUNDLES)]


def main() -> None:
    """Write the extra certificates into the folder, remove all others, and print the changes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder for the .crt files")
    out = parser.parse_args().out
    public = certificates(Path(certifi.where()))
    for path in PUBLIC_CAS.rglob("*.crt"):
        public |= certificates(path)
    extra = set().union(*(certificates(path) for path in controller_bundles())) - public
    wanted = {f"lab-{hashlib.sha256(der).hexdigest()[:12]}.crt": ssl.DER_cert_to_PEM_cert(der) for der in extra}
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(out.glob("*.crt")):
        if path.name not in wanted:
            path.unlink()
            print(f"removed {path.name}")
    for name, pem in sorted(wanted.items()):
        path = out / name
        if not path.exists() or path.read_text(encoding="ascii") != pem:
            path.write_text(pem, encoding="ascii")
            print(f"wrote {name}")


if __name__ == "__main__":
    main()
