"""Makes aegis.json, an encrypted export as docs/vault.md of Aegis' repository describes it, with hashlib and cryptography: a biometric
slot, which no password opens, a password slot of another password, and one of "correct horse". Arguments: the file."""
import base64, hashlib, json, sys

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SEED = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"


def some(what, length):
    """Bytes that are the same each time."""
    return hashlib.sha512(what.encode()).digest()[:length]


def seal(key, plain, what):
    nonce = some("nonce of " + what, 12)
    sealed = AESGCM(key).encrypt(nonce, plain, None)
    return sealed[:-16], {"nonce": nonce.hex(), "tag": sealed[-16:].hex()}


def slot(kind, key, name, **more):
    sealed, params = seal(key, MASTER, name)
    return {"type": kind, "uuid": f"00000000-0000-4000-8000-{some(name, 6).hex()}", "key": sealed.hex(), "key_params": params, **more}


def of_password(password, name):
    salt = some("salt of " + name, 32)
    key = hashlib.scrypt(password.encode(), salt=salt, n=32768, r=8, p=1, dklen=32, maxmem=64 << 20)
    return slot(1, key, name, n=32768, r=8, p=1, salt=salt.hex(), repaired=True, is_backup=False)


MASTER = some("master", 32)
entry = lambda kind, name, issuer, **info: {"type": kind, "uuid": "x", "name": name, "issuer": issuer, "note": "", "favorite": False, "icon": None,
                                             "info": {"secret": SEED, "algo": "SHA256", "digits": 6, **info}, "groups": []}
content = {"version": 3, "entries": [entry("totp", "admin", "core1", period=30), entry("hotp", "admin", "core2", counter=4)], "groups": [], "icons_optimized": True}
db, params = seal(MASTER, json.dumps(content, indent=4).encode(), "content")
slots = [slot(2, some("biometric", 32), "biometric"), of_password("another", "other"), of_password("correct horse", "password")]
vault = {"version": 1, "header": {"slots": slots, "params": params}, "db": base64.b64encode(db).decode()}
with open(sys.argv[1], "w") as file:
    # As Android's JSON writer does.
    file.write(json.dumps(vault, indent=4).replace("/", "\\/"))
