// Connects with simple-oauth2, refreshes, and revokes with its `revokeAll`.

import assert from "node:assert/strict";
import { createInterface } from "node:readline/promises";
import { AuthorizationCode } from "simple-oauth2";

const { HUB, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, SCOPE } = process.env;
const client = new AuthorizationCode({
  client: { id: CLIENT_ID, secret: CLIENT_SECRET },
  auth: {
    tokenHost: HUB,
    tokenPath: "/api/v1/token",
    revokePath: "/api/v1/revoke",
    authorizePath: "/api/v1/authorize",
  },
});
console.log(client.authorizeURL({ redirect_uri: REDIRECT_URI, scope: SCOPE, state: "state" }));

const lines = createInterface({ input: process.stdin });
const callback = new URL((await lines[Symbol.asyncIterator]().next()).value);
lines.close();
const code = callback.searchParams.get("code");
const token = await client.getToken({ code, redirect_uri: REDIRECT_URI });
await token.refresh();

await token.revokeAll();

const refused = (error) => error.data?.payload?.error === "invalid_grant";
await assert.rejects(token.refresh(), refused);
