#!/usr/bin/env python3
"""Makes vectors.json, by another implementation than the package's own.

    python3 vectors.py > vectors.json

needs the package "cryptography".
"""
import base64, hashlib, hmac, json, struct
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def hkdf(key, salt, info, size=32):
    return HKDF(algorithm=SHA256(), length=size, salt=salt, info=info).derive(key)


def field(s):
    return struct.pack(">I", len(s)) + s


root = bytes(range(32))
domain = bytes(range(0x40, 0x60))
salt = bytes(range(0x80, 0xA0))
nonce = bytes(range(0xC0, 0xCC))
deployment = b"deployment-1"

root_id = b"file:" + hkdf(root, b"strongroom/seal/file/id/v1", b"", 16).hex().encode()
aad = b"strongroom/seal/slot/v1" + field(deployment) + field(root_id) + struct.pack(">I", 1)
key = hkdf(root, salt, b"strongroom/seal/file/wrap/v1")
wrapped = b"\x01" + salt + nonce + AESGCM(key).encrypt(nonce, domain, aad)


def derive(label):
    return hkdf(domain, b"strongroom/seal/domain/v1", label)


def slots(mac):
    return json.dumps({
        "format": 1,
        "deployment": deployment.decode(),
        "current": 1,
        "versions": [{"version": 1, "slots": [
            {"root": root_id.decode(), "wrapped": base64.b64encode(wrapped).decode()}]}],
        "mac": mac,
    }, separators=(",", ":"))


mac = hmac.new(derive(b"keyslots"), slots(None).encode(), hashlib.sha256).digest()
print(json.dumps({
    "root": root.hex(),
    "rootID": root_id.decode(),
    "slots": slots(base64.b64encode(mac).decode()),
    "derived": {label: derive(label.encode()).hex() for label in [
        "records", "key-material", "journal-sealing", "journal-signing-seed",
        "sigv4-secrets", "session-tokens", "grant-tokens", "pagination-markers"]},
}, indent=1))
