# A bank that was not written for Bowline: django-oauth-toolkit as a plain OAuth 2.0 server, with a stub of an FDX 5 API. It prints
# its origin. Every login succeeds as the customer `alice`, without a page. The database is created by the packages' migrations.
import json
import os
import sys
from socketserver import ThreadingMixIn
from threading import Thread
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
from django.conf import settings
from django.core.management import call_command

bank = json.loads(os.environ["BANK"])
settings.configure(
    SECRET_KEY="test",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    LOGIN_URL="/login",
    USE_TZ=True,
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "oauth2_provider",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.path.join(bank["folder"], "bank.db"),
            # Several requests write at the same time.
            "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    OAUTH2_PROVIDER={
        "SCOPES": {scope: scope for scope in bank["scopes"]},
        "PKCE_REQUIRED": True,
        "ACCESS_TOKEN_EXPIRE_SECONDS": 20,
        "ROTATE_REFRESH_TOKEN": True,
        "REFRESH_TOKEN_REUSE_PROTECTION": True,
    },
)
django.setup()

from django.contrib.auth import get_user_model, login  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponseRedirect, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402
from oauth2_provider import views  # noqa: E402
from oauth2_provider.models import Application  # noqa: E402
from oauth2_provider.oauth2_backends import get_oauthlib_core  # noqa: E402

# Every token of the token endpoint, by its kind.
issued = {"access_token": [], "refresh_token": []}


class RecordingTokenView(views.TokenView):
    def post(self, request, *args, **kwargs):
        response = super().post(request, *args, **kwargs)
        body = json.loads(response.content)
        for kind, tokens in issued.items():
            if kind in body:
                tokens.append(body[kind])
        return response


def sign_in(request):
    login(request, get_user_model().objects.get(), backend="django.contrib.auth.backends.ModelBackend")
    return HttpResponseRedirect(request.GET["next"])


def protected(scopes, body):
    def view(request):
        is_valid, verified = get_oauthlib_core().verify_request(request, scopes=scopes)
        if not is_valid:
            return JsonResponse({"code": 602, "message": "Customer not authorized"}, status=401)
        return JsonResponse(body(verified.user))

    return view


ACCOUNT = {
    "accountId": "a-1",
    "accountType": "CHECKING",
    "status": "OPEN",
    "currency": {"currencyCode": "CAD"},
    "nickname": "Chequing",
}

urlpatterns = [
    path("login", sign_in),
    path("oauth/authorize", views.AuthorizationView.as_view()),
    path("oauth/token", RecordingTokenView.as_view()),
    path("oauth/revoke", views.RevokeTokenView.as_view()),
    path("oauth/introspect", views.IntrospectTokenView.as_view()),
    path("fdx/v5/accounts", protected(bank["scopes"][:1], lambda user: {"accounts": [{"depositAccount": ACCOUNT}]})),
    path("fdx/v5/customers/current", protected([], lambda user: {"customerId": f"customer-{user.pk}"})),
    path("issued", lambda request: JsonResponse(issued)),
]

call_command("migrate", verbosity=0)
get_user_model().objects.create_user("alice")
Application.objects.create(
    client_id=bank["client_id"],
    client_secret=bank["client_secret"],
    client_type=Application.CLIENT_CONFIDENTIAL,
    authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
    redirect_uris=bank["redirect_uri"],
    skip_authorization=True,
)
Application.objects.create(
    client_id="auditor",
    client_secret="auditor-secret",
    client_type=Application.CLIENT_CONFIDENTIAL,
    authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
)


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Handler(WSGIRequestHandler):
    def log_message(self, *_):
        pass


server = make_server("127.0.0.1", 0, get_wsgi_application(), server_class=Server, handler_class=Handler)
Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"http": f"http://127.0.0.1:{server.server_port}"}), flush=True)
# The test ends the program by closing its input.
sys.stdin.read()
