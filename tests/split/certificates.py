"""Certificates that servers of these tests show, made once."""

import atexit
import datetime
import shutil
import tempfile
from functools import cache
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from worker.execution.split.address import Identity

DAY = datetime.timedelta(days=1)


@cache
def made_identity(name: str) -> Identity:
    """A self-signed certificate for `name` and 127.0.0.1."""
    folder = Path(tempfile.mkdtemp(prefix="cloister-test-"))
    atexit.register(shutil.rmtree, folder)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    made = Identity(folder / "certificate.pem", folder / "key.pem")
    made.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return made


def pin_of(identity: Identity) -> str:
    """SHA-256 of its certificate."""
    loaded = x509.load_pem_x509_certificate(identity.certificate.read_bytes())
    return sha256(loaded.public_bytes(serialization.Encoding.DER)).hexdigest()
