#!/usr/bin/env python3
"""Makes vectors.json, by another implementation than the package's own.

    python3 vectors.py > vectors.json

needs the package "cryptography".
"""
import hmac, json, struct, uuid
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def hkdf(key, salt, info):
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(key)


def field(s):
    return struct.pack(">I", len(s)) + s


def seq(start, n):
    return bytes((start + i) % 256 for i in range(n))


def canonical(context):
    pairs = sorted((k.encode(), v.encode()) for k, v in context.items())
    return struct.pack(">I", len(pairs)) + b"".join(field(k) + field(v) for k, v in pairs)


def header(key_id, material_id):
    if key_id.startswith("mrk-"):
        form, raw = 2, bytes.fromhex(key_id[4:])
    else:
        form, raw = 1, uuid.UUID(key_id).bytes
    ids = bytes([0xA1, form]) + raw + bytes.fromhex(material_id)
    key = hkdf(domain, b"strongroom/seal/domain/v1", b"ciphertext-headers")
    return ids + hmac.digest(key, b"strongroom/keyring/header/v1\0" + ids, "sha256")[:16]


def material_id(key_id, material):
    return hkdf(material, b"strongroom/keyring/material-id/v1", key_id.encode()).hex()


def wrap(domain, version, key_id, material):
    salt, nonce = seq(0x10, 32), seq(0x30, 12)
    derived = hkdf(domain, b"strongroom/seal/domain/v1", b"key-material")
    key = hkdf(derived, salt, b"strongroom/keyring/material-wrap/v1")
    aad = b"strongroom/keyring/material-wrap/v1" + field(key_id.encode()) \
        + field(material_id(key_id, material).encode()) + field(b"SYMMETRIC_DEFAULT") \
        + struct.pack(">I", version)
    return b"\x01" + salt + nonce + AESGCM(key).encrypt(nonce, material, aad)


def encrypt(key_id, material, salt, nonce, plaintext, context):
    head = header(key_id, material_id(key_id, material))
    info = head + salt + canonical(context)

    def expand(label):
        # HKDF whole on one side, so that extract and expand are checked too.
        return hkdf(material, b"strongroom/keyring/message/v1", label + b"\0" + info)

    commitment = expand(b"strongroom/keyring/commitment/v1")
    prefix = head + salt + commitment
    key = expand(b"strongroom/keyring/key/v1")
    return prefix + nonce + AESGCM(key).encrypt(nonce, plaintext, prefix)


domain = bytes([0xD0]) * 32
contexts = [
    {},
    {"tenant": "acme", "purpose": "backup"},
    {"b": "2", "a": "1", "B": "", "": "empty name", "ä": "ö", "a\0": "nul", "aa": "\U0001F511"},
    {"name": "v" * (8192 - 4 - 8 - 4)},
]
cases = []
for i, (key_id, size, context) in enumerate([
        ("1234abcd-12ab-34cd-56ef-1234567890ab", 1, contexts[0]),
        ("1234abcd-12ab-34cd-56ef-1234567890ab", 32, contexts[1]),
        ("mrk-1234abcd12ab34cd56ef1234567890ab", 100, contexts[2]),
        ("ffffffff-ffff-ffff-ffff-ffffffffffff", 33, contexts[3])]):
    material = seq(0x40 + i, 32)
    plaintext = seq(i, size)
    cases.append({
        "keyID": key_id,
        "materialID": material_id(key_id, material),
        "material": material.hex(),
        "wrapped": wrap(domain, 1, key_id, material).hex(),
        "context": context,
        "canonical": canonical(context).hex(),
        "salt": seq(0x80 + i, 32).hex(),
        "plaintext": plaintext.hex(),
        "blob": encrypt(key_id, material, seq(0x80 + i, 32), seq(0xC0 + i, 12), plaintext, context).hex(),
    })
print(json.dumps({"domain": domain.hex(), "cases": cases}, indent=1))
