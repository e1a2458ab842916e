#!/usr/bin/env python3
"""Makes the pictures of docs/web-page.md: each page of 'rotord demo --web', light, dark and narrow.

Usage: tests/lab/screenshots.py ROTORD FOLDER. Needs chromium and chromium-driver; nothing but 127.0.0.1 is contacted."""
import base64, json, re, socket, subprocess, sys, tempfile, time, urllib.request

rotord, folder = sys.argv[1:3]
only = set(sys.argv[3:])


def call(method, path, body=None):
    data = None if method == "GET" else json.dumps(body or {}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"content-type": "application/json"}, method=method)
    return json.load(urllib.request.urlopen(request, timeout=120))["value"]


demo = subprocess.Popen([rotord, "demo", "--web"], stdout=subprocess.PIPE, text=True)
link = next(found.group() for line in demo.stdout if (found := re.search(r"http://\S+", line)))
# The driver listens in both families: a port that it chooses itself may be taken in the other one.
with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as free:
    port = free.getsockname()[1]
driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.PIPE, text=True)
next(line for line in driver.stdout if "successfully" in line)
profile = tempfile.TemporaryDirectory()
try:
    chrome = {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1", f"--user-data-dir={profile.name}"]}
    session = call("POST", "/session", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": chrome}}})["sessionId"]
    s = f"/session/{session}"
    cdp = lambda cmd, **params: call("POST", f"{s}/goog/cdp/execute", {"cmd": cmd, "params": params})
    run = lambda script, *args: call("POST", f"{s}/execute/sync", {"script": script, "args": list(args)})

    def until(script):
        for _ in range(300):
            if run(f"return Boolean({script})"):
                return
            time.sleep(0.2)
        raise SystemExit(f"this did not come: {script}")

    def shot(name, path, scheme, width, height, before=None):
        if only and name not in only:
            return
        cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        call("POST", f"{s}/url", {"url": base + path})
        if before:
            before()
        picture = cdp("Page.captureScreenshot", format="webp", quality=80)["data"]
        with open(f"{folder}/{name}.webp", "wb") as file:
            file.write(base64.b64decode(picture))

    call("POST", f"{s}/url", {"url": link})
    until("document.querySelector('main')")
    base = run("return document.baseURI")
    # The first rotations of the demo come to their end.
    call("POST", f"{s}/url", {"url": base + "account?name=web1/admin"})
    until("document.querySelector('.timeline .o-done')")
    call("POST", f"{s}/url", {"url": base + "account?name=edge-fw/admin"})
    until("document.querySelector('.timeline .o-failed, .timeline .o-unknown')")

    def token():
        run("document.querySelector('[data-show]').click()")
        until("/\\d{6}/.test(document.querySelector('[data-code]').textContent)")

    def choose():
        run("document.querySelectorAll('input[name=account]').forEach((box, at) => { if (at % 3 === 0) box.click(); })")

    def confirm():
        choose()
        run("document.querySelector('.bulk button[value=rotate]').click()")
        until("document.querySelector('.confirm')")

    pages = [
        ("overview", "", None),
        ("accounts", "accounts?sort=state", choose),
        ("account", "account?name=web1/admin", token),
        ("confirm", "accounts", confirm),
        ("devices", "devices", None),
        ("device", "device?name=web1", None),
        ("jobs", "jobs", None),
        ("templates", "templates", None),
        ("template", "template?name=linux-passwd", None),
        ("audit", "audit?check=1", None),
        ("health", "health", None),
    ]
    for name, path, before in pages:
        shot(name, path, "light", 1280, 860, before)
        shot(f"{name}-dark", path, "dark", 1280, 860, before)
        shot(f"{name}-narrow", path, "light", 390, 844, before)
    call("DELETE", s)
finally:
    for process in (driver, demo):
        process.terminate()
        process.wait()
