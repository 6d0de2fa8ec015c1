"""Connects with requests-oauthlib, refreshes, and revokes with the request that oauthlib prepares."""

import os

import requests
from oauthlib.oauth2 import InvalidGrantError
from requests_oauthlib import OAuth2Session

# The hub of the test listens on loopback without TLS.
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"

hub = os.environ["HUB"]
client_id, secret = os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"]
metadata = requests.get(f"{hub}/.well-known/openid-configuration", timeout=10).json()
session = OAuth2Session(
    client_id, redirect_uri=os.environ["REDIRECT_URI"], scope=os.environ["SCOPE"].split(), pkce="S256"
)
url, _ = session.authorization_url(metadata["authorization_endpoint"])
print(url, flush=True)

token = session.fetch_token(
    metadata["token_endpoint"], authorization_response=input(), client_secret=secret, include_client_id=True
)
assert session.get(f"{hub}/api/fdx/5/accounts").status_code == 200
credentials = (client_id, secret)
session.refresh_token(metadata["token_endpoint"], auth=credentials)

revoke_url, headers, body = session._client.prepare_token_revocation_request(
    metadata["revocation_endpoint"], token["refresh_token"], token_type_hint="refresh_token"
)
revoked = requests.post(revoke_url, headers=headers, data=body, auth=credentials, timeout=10)

assert revoked.status_code == 200, revoked.text
try:
    session.refresh_token(metadata["token_endpoint"], refresh_token=token["refresh_token"], auth=credentials)
except InvalidGrantError:
    pass
else:
    raise AssertionError("the refresh token is still valid")
