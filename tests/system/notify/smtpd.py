"""A mail server: STARTTLS before anything, a login, and an address that it refuses. While there is a file OUT.later it puts another
address off, and while there is OUT.refuse it refuses each mail that has its text; those go to OUT.refused. Arguments: port, certificate, key, OUT."""
import json
import os
import ssl
import sys
import threading

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

port, certificate, key, out = sys.argv[1:5]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused@"):
            return "550 5.1.1 nobody\x1b[2J here"
        if address.startswith("later@") and os.path.exists(out + ".later"):
            return "451 4.7.1 come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = {
            "to": envelope.rcpt_tos,
            "tls": session.ssl is not None,
            "login": session.auth_data.login.decode() if session.auth_data else None,
            "data": envelope.content.decode().replace("=\r\n", ""),
        }
        refused = False
        if os.path.exists(out + ".refuse"):
            with open(out + ".refuse") as file:
                refused = file.read() in mail["data"]
        with open(out + ".refused" if refused else out, "a") as file:
            file.write(json.dumps(mail) + "\n")
        return "554 5.7.1 not this one" if refused else "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    ok = getattr(data, "password", None) == b"swordfish"
    return AuthResult(success=ok, auth_data=data)


Controller(
    Handler(), hostname="127.0.0.1", port=int(port), tls_context=context, require_starttls=True,
    authenticator=authenticate, auth_required=True,
).start()
threading.Event().wait()
