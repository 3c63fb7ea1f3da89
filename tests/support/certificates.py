"""A self-signed certificate for 127.0.0.1: the server's, and the only authority that a client trusts."""

from __future__ import annotations

import ssl
import subprocess
from shutil import which
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def self_signed(folder: Path) -> Path:
    """Return a file with the certificate and its key."""
    openssl = which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    file = folder / "both.pem"
    request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=vendor -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(file), "-out", f"{file}.crt"]
    subprocess.run([openssl, *request.split(), *files], check=True, capture_output=True)
    with file.open("a") as both:
        both.write(file.with_name(f"{file.name}.crt").read_text())
    return file


def server_side(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
