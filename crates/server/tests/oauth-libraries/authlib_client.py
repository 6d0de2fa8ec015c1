"""Connects with Authlib, refreshes, and revokes with its `revoke_token`."""

import os

from authlib.common.security import generate_token
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session

hub = os.environ["HUB"]
session = OAuth2Session(
    os.environ["CLIENT_ID"],
    os.environ["CLIENT_SECRET"],
    redirect_uri=os.environ["REDIRECT_URI"],
    scope=os.environ["SCOPE"],
    code_challenge_method="S256",
)
metadata = session.request("GET", f"{hub}/.well-known/oauth-authorization-server", withhold_token=True).json()
verifier = generate_token(48)
url, state = session.create_authorization_url(metadata["authorization_endpoint"], code_verifier=verifier)
print(url, flush=True)

token = session.fetch_token(
    metadata["token_endpoint"], authorization_response=input(), state=state, code_verifier=verifier
)
assert session.get(f"{hub}/api/fdx/5/accounts").status_code == 200
session.refresh_token(metadata["token_endpoint"], refresh_token=token["refresh_token"])

revoked = session.revoke_token(
    metadata["revocation_endpoint"], token=token["refresh_token"], token_type_hint="refresh_token"
)

assert revoked.status_code == 200, revoked.text
try:
    session.refresh_token(metadata["token_endpoint"], refresh_token=token["refresh_token"])
except OAuthError as error:
    assert error.error == "invalid_grant", error
else:
    raise AssertionError("the refresh token is still valid")
