"""A timestamp authority: `openssl ts -reply` behind HTTP on the loopback."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.http_thread import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = """
[tsa]
dir = {folder}
serial = $dir/serial
crypto_device = builtin
signer_cert = $dir/tsa.pem
signer_key = $dir/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ordering = yes
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


class TimestampAuthority:
    """Answers requests as OpenSSL does, or with what `answer` says: bytes, or an HTTP status."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answer: bytes | int | None = None
        self.requests = 0
        _certificates(folder)
        (folder / "tsa.cnf").write_text(CONFIG.format(folder=folder))
        (folder / "serial").write_text("01\n")
        authority = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                authority.requests += 1
                answer = authority.answer
                status = answer if isinstance(answer, int) else 200
                reply = answer if isinstance(answer, bytes) else authority.reply(body)
                self.send_response(status)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/tsr"

    def reply(self, query: bytes) -> bytes:
        (self.folder / "query.tsq").write_bytes(query)
        self._openssl(
            "ts",
            "-reply",
            "-config",
            "tsa.cnf",
            "-section",
            "tsa",
            "-queryfile",
            "query.tsq",
            "-out",
            "r.tsr",
        )
        return (self.folder / "r.tsr").read_bytes()

    def accepts(self, answer: Path, text: Path) -> bool:
        """Whether `openssl ts -verify`, which knows the authority's root alone, accepts an answer for a file."""
        command = (
            "openssl",
            "ts",
            "-verify",
            "-in",
            answer,
            "-data",
            text,
            "-CAfile",
            self.folder / "ca.pem",
        )
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(("openssl", *arguments), check=True, cwd=self.folder, capture_output=True)

    @contextmanager
    def running(self) -> Iterator[TimestampAuthority]:
        with serving(self.server):
            yield self


def _certificates(folder: Path) -> None:
    now = datetime.now(UTC)
    ca_key, tsa_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name, tsa_name = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in ("ca", "tsa"))

    def begun(subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
        )

    ca = begun(ca_name, ca_key).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
    tsa = begun(tsa_name, tsa_key).add_extension(usage, critical=True)
    for name, builder in (("ca", ca), ("tsa", tsa)):
        pem = builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        (folder / f"{name}.pem").write_bytes(pem)
    (folder / "tsa.key").write_bytes(
        tsa_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
