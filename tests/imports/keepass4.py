"""Makes keepass4.kdbx with pykeepass: PASSPHRASE as in the tests, an entry for each place where a seed is kept."""

import sys

from pykeepass import create_database

SEED = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
db = create_database(sys.argv[1], password="correct horse")
routers = db.add_group(db.root_group, "Routers")


def entry(group, number, more):
    made = db.add_entry(group, f"core{number}", "admin", f"Start-{number}", url=f"ssh://192.0.2.{number}")
    for name, value in more.items():
        made.set_custom_property(name, value, protect=True)
    return made


entry(routers, 1, {}).otp = f"otpauth://totp/core1:admin?secret={SEED}&period=30&digits=6&issuer=core1"
entry(routers, 2, {
    "TimeOtp-Secret-Base32": SEED, "TimeOtp-Length": "8", "TimeOtp-Period": "60", "TimeOtp-Algorithm": "HMAC-SHA-256",
})
entry(routers, 3, {"TOTP Seed": SEED, "TOTP Settings": "30;6"})
entry(routers, 4, {
    "TimeOtp-Secret-Hex": "31323334353637383930313233343536373839" + "30", "TimeOtp-Length": "8", "TimeOtp-Period": "60",
    "TimeOtp-Algorithm": "HMAC-SHA-512",
})
db.add_entry(db.root_group, "web", "me", "Start-5", url="https://mail.example.org/login")
db.add_entry(db.root_group, "empty", "", "")
gone = db.add_entry(db.root_group, "gone", "admin", "Gone-1", url="ssh://192.0.2.9")
db.trash_entry(gone)
db.save()
