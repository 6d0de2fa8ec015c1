// Connects with openid-client, refreshes, and revokes with its `tokenRevocation`.

import assert from "node:assert/strict";
import { createInterface } from "node:readline/promises";
import * as client from "openid-client";

const { HUB, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, SCOPE } = process.env;
const config = await client.discovery(new URL(HUB), CLIENT_ID, CLIENT_SECRET, undefined, {
  algorithm: "oauth2",
  // The hub of the test listens on loopback without TLS.
  execute: [client.allowInsecureRequests],
});
const pkceCodeVerifier = client.randomPKCECodeVerifier();
const expectedState = client.randomState();
const url = client.buildAuthorizationUrl(config, {
  redirect_uri: REDIRECT_URI,
  scope: SCOPE,
  state: expectedState,
  code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
  code_challenge_method: "S256",
});
console.log(url.href);

const lines = createInterface({ input: process.stdin });
const callback = new URL((await lines[Symbol.asyncIterator]().next()).value);
lines.close();
const tokens = await client.authorizationCodeGrant(config, callback, { pkceCodeVerifier, expectedState });
const accounts = await client.fetchProtectedResource(
  config,
  tokens.access_token,
  new URL(`${HUB}/api/fdx/5/accounts`),
  "GET",
);
assert.equal(accounts.status, 200);
await client.refreshTokenGrant(config, tokens.refresh_token);

await client.tokenRevocation(config, tokens.refresh_token, { token_type_hint: "refresh_token" });

await assert.rejects(client.refreshTokenGrant(config, tokens.refresh_token), { error: "invalid_grant" });
