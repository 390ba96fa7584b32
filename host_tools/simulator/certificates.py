"""Certificates of the virtual world: an authority, and servers that it vouches for, from any day to any other."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# A virtual run may stand in any year, and mbedTLS on the PC looks at the PC's clock as well: wide.
FROM, TO = "2020-01-01", "2049-12-31"


@dataclass
class Certificate:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def write(self, directory: Path) -> tuple[Path, Path]:
        """Leave certificate and key (readable by the owner alone) as PEM files."""
        paths = directory / "server.pem", directory / "server.key"
        for path, data in zip(paths, (self.pem, self.key_pem), strict=True):
            path.touch(0o600)
            path.write_bytes(data)
        return paths

    def server_context(self) -> ssl.SSLContext:
        """TLS of a server that shows this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as directory:
            context.load_cert_chain(*self.write(Path(directory)))
        return context


def _issue(
    name: str,
    issuer: Certificate | None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
    valid: tuple[str, str],
) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin, end = (datetime.datetime.fromisoformat(day) for day in valid)
    builder = x509.CertificateBuilder(
        issuer.certificate.subject if issuer else subject, subject, key.public_key(), x509.random_serial_number(), begin, end
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return Certificate(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def authority(name: str = "Chot test authority", valid: tuple[str, str] = (FROM, TO)) -> Certificate:
    """A certificate that vouches for others, P-256."""
    return _issue(name, None, [(x509.BasicConstraints(ca=True, path_length=0), True)], valid)


def server(names: Sequence[str], issuer: Certificate, valid: tuple[str, str] = (FROM, TO)) -> Certificate:
    """The certificate of a server called `names` (host names or addresses)."""
    alternatives: list[x509.GeneralName] = []
    for name in names:
        try:
            alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            alternatives.append(x509.DNSName(name))
    return _issue(names[0], issuer, [(x509.SubjectAlternativeName(alternatives), False)], valid)
