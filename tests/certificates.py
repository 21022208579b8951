"""A certificate of one's own, as a job signs Content Credentials with."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

KEYS = {
    "es256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "es384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ps256": lambda: rsa.generate_private_key(65_537, 2_048),
}


def name(text):
    """Of an owner."""
    pairs = ((NameOID.ORGANIZATION_NAME, "A shop"), (NameOID.COMMON_NAME, text))
    return x509.Name([x509.NameAttribute(*pair) for pair in pairs])


def certificate(owner, issuer, key):
    """The beginning of a certificate that holds for ten days."""
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name(owner))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=10))
    )


def write_pair(folder, kind="es256", password=None):
    """A certificate that somebody else vouches for, and its key; the paths of both."""
    above, key = KEYS["es256"](), KEYS[kind]()
    root = certificate("A root", "A root", above)
    root = root.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    root = root.sign(above, hashes.SHA256())
    usage = x509.KeyUsage(*(each == 0 for each in range(9)))  # digital signatures alone
    leaf = certificate("A signer", "A root", key)
    for extension, critical in (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (usage, True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), False),
    ):
        leaf = leaf.add_extension(extension, critical)
    leaf = leaf.sign(above, hashes.SHA256())
    pem = serialization.Encoding.PEM
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(leaf.public_bytes(pem) + root.public_bytes(pem))
    cipher = serialization.NoEncryption()
    if password is not None:
        cipher = serialization.BestAvailableEncryption(password)
    paths[1].write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, cipher))
    return paths
