"""A site with the pages of django-two-factor-auth and Django's own for changing a password, which need a code at the login.
Run with a file of accounts ("name password seed", a line each), it makes its database. A step of a code lasts 5 seconds."""
import base64
import os
import sys

from django.conf import settings

AUTH = "django.contrib.auth"
settings.configure(
    SECRET_KEY=os.environ["SITE_KEY"], ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF="pages", USE_TZ=True, STATIC_URL="/static/",
    SESSION_COOKIE_SECURE=True, CSRF_COOKIE_SECURE=True, LOGIN_URL="two_factor:login", LOGIN_REDIRECT_URL="/",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[AUTH, "django.contrib.contenttypes", "django.contrib.sessions", "django.contrib.messages", "django.contrib.admin",
                    "django.contrib.staticfiles", "django_otp", "django_otp.plugins.otp_static", "django_otp.plugins.otp_totp", "two_factor"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.common.CommonMiddleware",
                "django.middleware.csrf.CsrfViewMiddleware", f"{AUTH}.middleware.AuthenticationMiddleware",
                "django_otp.middleware.OTPMiddleware", "django.contrib.messages.middleware.MessageMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {"context_processors": [
        "django.template.context_processors.request", f"{AUTH}.context_processors.auth",
        "django.contrib.messages.context_processors.messages"]}}],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "/srv/site/db"}},
    AUTH_PASSWORD_VALIDATORS=[{"NAME": f"{AUTH}.password_validation.{name}Validator"}
                              for name in ("UserAttributeSimilarity", "MinimumLength", "CommonPassword", "NumericPassword")])

import django  # noqa: E402

django.setup()

from django.contrib import admin  # noqa: E402
from django.contrib.auth import views  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.urls import include, path  # noqa: E402
from django_otp.decorators import otp_required  # noqa: E402
from two_factor.urls import urlpatterns as two_factor  # noqa: E402


@otp_required
def home(request):
    return HttpResponse(f"<h1>Hello {request.user.username}</h1>")


urlpatterns = [
    path("", home),
    path("", include(two_factor)),
    path("account/password_change/", otp_required(views.PasswordChangeView.as_view()), name="password_change"),
    path("account/password_change/done/", views.PasswordChangeDoneView.as_view(), name="password_change_done"),
    path("account/logout/", views.LogoutView.as_view(next_page="/account/login/"), name="logout"),
    path("admin/", admin.site.urls),
]

if __name__ == "__main__":
    from django.core.management import call_command
    sys.modules["pages"] = sys.modules["__main__"]
    call_command("migrate", verbosity=0)
    from django.contrib.auth.models import User
    from django_otp.plugins.otp_totp.models import TOTPDevice
    for name, password, seed in (line.split() for line in open(sys.argv[1])):
        user = User.objects.create_user(name, f"{name}@example.com", password)
        TOTPDevice.objects.create(user=user, name="default", confirmed=True, step=5, key=base64.b32decode(seed).hex())
else:
    from django.core.wsgi import get_wsgi_application
    application = get_wsgi_application()
