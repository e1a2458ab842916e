#!/usr/bin/env python3
"""What 'rotorctl web' takes with very many accounts: benches/web.py BINARIES [ACCOUNTS [DEVICES]] [--json FILE].

A real daemon with a made config, all accounts with a password and a seed, and the page as an operator starts it. The first page is timed from
the request until its last byte, by a client that holds the cookie. Nothing but loopback is contacted.
"""
import argparse, http.client, os, re, subprocess, sys, tempfile, threading, urllib.parse

from common import Daemon, Figures, new_key, now
from scale import secrets, write_config


class Page:
    """The page of one operator, with the cookie that its link gave."""

    def __init__(self, daemon):
        line = [f"{daemon.binaries}/rotorctl", "--socket", f"{daemon.folder}/socket", "web"]
        self.begun = now()
        self.process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        link = next(found.group() for line in self.process.stdout if (found := re.search(r"http://\S+", line)))
        self.ready = now() - self.begun
        parts = urllib.parse.urlsplit(link)
        self.port = parts.port
        answer = self.ask(f"{parts.path}?{parts.query}" if parts.query else parts.path)
        self.cookie = answer.getheader("set-cookie").split(";")[0]
        self.base = urllib.parse.urljoin(link, answer.getheader("location") or ".")
        answer.read()

    def ask(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        headers = {"cookie": self.cookie} if hasattr(self, "cookie") else {}
        connection.request("GET", path, headers=headers)
        return connection.getresponse()

    def get(self, path):
        """Seconds until the last byte, and the body."""
        begun = now()
        answer = self.ask(urllib.parse.urljoin(urllib.parse.urlsplit(self.base).path, path))
        body = answer.read().decode()
        if answer.status != 200:
            sys.exit(f"{path}: {answer.status}")
        return now() - begun, body

    def status(self, key):
        """Of /proc, in MB."""
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith(key + ":"):
                return int(line.split()[1]) / 1024
        raise KeyError(key)

    def end(self):
        self.process.terminate()
        self.process.wait()


def middle(found):
    """The median, with the least and the most."""
    found = sorted(found)
    return found[len(found) // 2], (found[0], found[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binaries")
    parser.add_argument("accounts", nargs="?", type=int, default=100_000)
    parser.add_argument("devices", nargs="?", type=int, default=10_000)
    parser.add_argument("--json")
    asked = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="rotord-web-")
    binaries = os.path.abspath(asked.binaries)
    write_config(folder, 1, asked.accounts, asked.devices, "0 0 1 1 *")
    new_key(binaries, folder)
    daemon = Daemon(binaries, folder)
    daemon.ctl("import", "--apply", "-", input=secrets(asked.accounts, asked.devices))
    figures = Figures("benches/web.py")

    page = Page(daemon)
    first, body = page.get("accounts")
    assert str(asked.accounts) in re.sub(r"[^\w<>]", "", body), "the number of accounts is on the page"
    figures.add("from the command until its link works", page.ready, "s")
    figures.add("first page, right after the start", first, "s", 0.3)
    for what, path, bound in [
        ("the page again", "accounts", 0.3),
        ("search", f"accounts?q=d{asked.devices // 2:05}/u0003", 0.2),
        ("search that finds nothing", "accounts?q=nobody-has-this-name", 0.2),
        ("search that finds a tenth", "accounts?q=u0003", 0.2),
        ("sorted by state", "accounts?sort=state", None),
        ("the last of all pages", f"accounts?page={asked.accounts // 50}", None),
        ("overview", "", None),
        ("devices", "devices", None),
        ("an account", f"account?name=d{asked.devices // 2:05}/u0003", None),
    ]:
        time, spread = middle([page.get(path)[0] for _ in range(9)])
        figures.add(what, time, "s", bound, spread)
    _, found = page.get(f"accounts?q=d{asked.devices // 2:05}/u0003")
    assert f"d{asked.devices // 2:05}/u0003" in found and "d00000/u0000" not in found, "the search finds one"
    all_at_once = [threading.Thread(target=page.get, args=("accounts",)) for _ in range(50)]
    begun = now()
    for thread in all_at_once:
        thread.start()
    for thread in all_at_once:
        thread.join()
    figures.add("50 pages at once, until the last has its last byte", now() - begun, "s")
    figures.add("memory of rotorctl web, resident", page.status("VmRSS"), "MB", 60)
    figures.add("memory of rotorctl web, at the most", page.status("VmHWM"), "MB", 60)
    page.end()
    daemon.stop()
    figures.write(asked.json)


if __name__ == "__main__":
    main()
