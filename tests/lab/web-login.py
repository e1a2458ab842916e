"""Logs in to one of the applications of web-apps.sh over HTTP, without a browser, and says whether it lets the account in.
    web-login.py APP URL CA USER PASSWORD [CODE]      prints "in" or "out" """
import re
import sys

import requests

app, url, ca, user, password = sys.argv[1:6]
code = sys.argv[6] if len(sys.argv) > 6 else ""
web = requests.Session()
web.verify = ca
web.trust_env = False


def hidden(text, name):
    for field in re.findall(r"<input[^>]*>", text):
        if re.search(rf'name="{re.escape(name)}"', field):
            return re.search(r'value="([^"]*)"', field).group(1)
    raise SystemExit(f"no field {name}")


def wordpress():
    web.get(f"{url}/wp-login.php")
    form = {"log": user, "pwd": password, "testcookie": "1", "redirect_to": f"{url}/wp-admin/profile.php"}
    return 'id="your-profile"' in web.post(f"{url}/wp-login.php", data=form).text


def mediawiki():
    page = f"{url}/index.php?title=Special:UserLogin&uselang=en"
    answer = web.get(page)
    for form in ({"wpName": user, "wpPassword": password}, {"OATHToken": code}):
        fields = {name: hidden(answer.text, name) for name in ("wpLoginToken", "authAction")}
        answer = web.post(page, data={**fields, **form})
        if "OATHToken" not in form and "OATHToken" not in answer.text:
            break
    return "pt-userpage" in answer.text


def django():
    page = f"{url}/account/login/"
    answer = web.get(page)
    for step, form in (("auth", {"auth-username": user, "auth-password": password}), ("token", {"token-otp_token": code})):
        if hidden(answer.text, "login_view-current_step") != step:
            return False
        form |= {"login_view-current_step": step, "csrfmiddlewaretoken": hidden(answer.text, "csrfmiddlewaretoken")}
        answer = web.post(page, data=form, headers={"Referer": page})
        if answer.url != page:
            return True
    return False


def pgadmin():
    token = re.search(r'"csrfToken": ?"([^"]+)"', web.get(f"{url}/login").text).group(1)
    form = {"csrf_token": token, "email": user, "password": password, "internal_button": "Login"}
    answer = web.post(f"{url}/authenticate/login", data=form, headers={"Referer": f"{url}/login"})
    if "/mfa/validate" not in answer.url:
        return False
    form = {"csrf_token": token, "mfa_method": "authenticator", "code": code}
    return "/browser" in web.post(f"{url}/mfa/validate", data=form, headers={"Referer": answer.url}).url


print("in" if globals()[app]() else "out")
