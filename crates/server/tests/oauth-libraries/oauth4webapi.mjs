// Connects with oauth4webapi, refreshes, and revokes the access token with its `revocationRequest`.

import assert from "node:assert/strict";
import { createInterface } from "node:readline/promises";
import * as oauth from "oauth4webapi";

const { HUB, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, SCOPE } = process.env;
// The hub of the test listens on loopback without TLS.
const options = { [oauth.allowInsecureRequests]: true };
const issuer = new URL(HUB);
const server = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, { ...options, algorithm: "oauth2" }),
);
const client = { client_id: CLIENT_ID };
const authentication = oauth.ClientSecretBasic(CLIENT_SECRET);
const verifier = oauth.generateRandomCodeVerifier();
const state = oauth.generateRandomState();
const url = new URL(server.authorization_endpoint);
url.search = new URLSearchParams({
  client_id: CLIENT_ID,
  redirect_uri: REDIRECT_URI,
  response_type: "code",
  scope: SCOPE,
  state,
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
});
console.log(url.href);

const lines = createInterface({ input: process.stdin });
const callback = new URL((await lines[Symbol.asyncIterator]().next()).value);
lines.close();
const parameters = oauth.validateAuthResponse(server, client, callback, state);
const tokens = await oauth.processAuthorizationCodeResponse(
  server,
  client,
  await oauth.authorizationCodeGrantRequest(
    server,
    client,
    authentication,
    parameters,
    REDIRECT_URI,
    verifier,
    options,
  ),
);
const refresh = async () =>
  oauth.processRefreshTokenResponse(
    server,
    client,
    await oauth.refreshTokenGrantRequest(server, client, authentication, tokens.refresh_token, options),
  );
await refresh();

await oauth.processRevocationResponse(
  await oauth.revocationRequest(server, client, authentication, tokens.access_token, options),
);

await assert.rejects(refresh(), { error: "invalid_grant" });
