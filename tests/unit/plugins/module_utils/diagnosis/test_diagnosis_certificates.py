# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Certificates of services, read by the real openssl."""

from __future__ import annotations

import datetime
import ipaddress
import os
from pathlib import Path

import pytest
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis import certificates
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.commands import is_installed
from ansible_collections.inferops.gpu.plugins.module_utils.diagnosis.context import Context, Known
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from diagnosis_builders import names, unit

pytestmark = pytest.mark.skipif(not is_installed("openssl"), reason="openssl is not installed")


def pem(first: float, last: float) -> str:
    """A certificate for gpu.example and 10.0.0.1, valid between two days from now."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gpu.example")])
    now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    built = built.not_valid_before(now + first * day).not_valid_after(now + last * day)
    alternative = x509.SubjectAlternativeName([x509.DNSName("gpu.example"), x509.IPAddress(ipaddress.ip_address("10.0.0.1"))])
    return built.add_extension(alternative, False).sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


CASES = [
    (-1, 90, ["gpu.example", "10.0.0.1"], []),
    (-90, -1, [], ["certificate-expired"]),
    (1, 90, [], ["certificate-expired"]),
    (-1, 3, [], ["certificate-expires"]),
    (-1, 90, ["other.example"], ["certificate-name"]),
    (-1, 90, ["10.0.0.2"], ["certificate-name"]),
    (-90, -1, ["other.example"], ["certificate-expired", "certificate-name"]),
]


@pytest.mark.parametrize(("first", "last", "clients", "expected"), CASES)
@pytest.mark.parametrize("form", ["LoadCredential=ssl_certfile:{}", 'ExecStart=vllm \\\n    "--ssl-certfile={}" \\\n'])
def test_certificates(tmp_path: Path, form: str, first: float, last: float, clients: list[str], expected: list[str]) -> None:
    path = tmp_path / "own.crt"
    path.write_text(pem(first, last))
    found = list(certificates.check(Context(units=[unit(text=form.format(path))], known={"q": Known(names=clients)})))
    assert names(found) == expected
    assert all(one.service == "q" and str(path) in one.cause for one in found)


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "empty.crt").write_text("nothing")
    for name in ("none.crt", "empty.crt"):
        found = certificates.check(Context(units=[unit(text=f"LoadCredential=ssl_certfile:{tmp_path / name}\n")]))
        assert names(found) == ["certificate-unreadable"]


@pytest.mark.skipif(os.geteuid() != 0 or not is_installed("setpriv"), reason="needs root")
def test_a_key_that_the_account_cannot_read(tmp_path: Path) -> None:
    path = tmp_path / "own.key"
    path.write_text("key")
    path.chmod(0o600)
    found = certificates.check(Context(units=[unit(text=f'    "--ssl-keyfile={path}"', User="nobody")]))
    assert names(found) == ["certificate-unreadable"]


def test_text_that_is_no_certificate(tmp_path: Path) -> None:
    path = tmp_path / "own.crt"
    path.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert names(certificates.check(Context(units=[unit(text=f"LoadCredential=ssl_certfile:{path}\n")]))) == ["?the certificate of q"]
