// A bank that was not written for Bowline: oidc-provider, with a stub of the FDX API. It serves HTTP for browsers and HTTPS with
// client certificates for the hub, and prints both origins. Every login succeeds as the customer `alice`.
import { X509Certificate, createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';

// The library warns about its defaults, which suffice for tests. The test reads only one line of the output.
console.warn = () => {};
console.log = () => {};
console.info = () => {};
const { default: Provider, errors } = await import('oidc-provider');
const { EmbeddedJWK, calculateJwkThumbprint, jwtVerify } = await import('jose');

const bank = JSON.parse(process.env.BANK);

// The hub's clock is not that of this machine.
const now = Date.now;
const offset = (bank.now ?? now()) - now();
Date.now = () => now() + offset;

const methods = {
  'jwt-es256': { token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256', jwks_uri: bank.jwks_uri },
  'jwt-ps256': { token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'PS256', jwks_uri: bank.jwks_uri },
  'jwt-eddsa': { token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'EdDSA', jwks_uri: bank.jwks_uri },
  tls: { token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_san_dns: 'hub.example' },
  'self-signed': { token_endpoint_auth_method: 'self_signed_tls_client_auth', jwks: { keys: bank.self_signed.map(certificateKey) } },
};

function certificateKey(pem) {
  const certificate = new X509Certificate(pem);
  return { ...certificate.publicKey.export({ format: 'jwk' }), kid: certificate.fingerprint256, x5c: [certificate.raw.toString('base64')] };
}

const es256 = { ...methods['jwt-es256'], authorization_details_types: ['fdx_v1.0'] };
methods['jwt-par'] = { ...es256, require_pushed_authorization_requests: true, scope: bank.scopes.join(' ') };
methods['jwt-jar'] = { ...es256, require_signed_request_object: true, request_object_signing_alg: 'ES256' };
// This client gets only tokens that are bound to a key.
methods['jwt-dpop'] = { ...es256, dpop_bound_access_tokens: true };

// The client of the example in the guide.
if (bank.client_secret) methods['hub-at-bank'] = { token_endpoint_auth_method: 'client_secret_basic', client_secret: bank.client_secret };

const clients = Object.entries(methods).map(([client_id, method]) => ({
  client_id,
  redirect_uris: [bank.redirect_uri],
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
  ...method,
}));
clients.push({
  client_id: 'auditor', client_secret: 'auditor-secret', redirect_uris: [], grant_types: [], response_types: [],
  token_endpoint_auth_method: 'client_secret_post',
});

// The consent request of FDX: PAR and RAR of the FDX API security model.
function checkConsentRequest(ctx, { consentRequest: consent }) {
  const isValid = consent.durationType === 'TIME_BOUND' && consent.durationPeriod > 0 && consent.lookbackPeriod > 0
    && consent.resources.every(({ resourceType, dataClusters }) => ['ACCOUNT', 'CUSTOMER'].includes(resourceType) && dataClusters.length > 0);
  if (!isValid) throw new errors.InvalidAuthorizationDetails('not a consent request of FDX');
}

// The customer grants one account, and no transactions.
const grantDetails = (details) => details.map(({ consentRequest, ...detail }) => ({
  ...detail,
  consentRequest: {
    ...consentRequest,
    resources: consentRequest.resources.map((resource) => ({
      ...resource,
      ...(resource.resourceType === 'ACCOUNT' ? { resourceId: 'a-1' } : {}),
      dataClusters: resource.dataClusters.filter((cluster) => cluster !== 'TRANSACTIONS'),
    })),
  },
}));

const certificate = (ctx) => ctx.req.socket.getPeerX509Certificate?.();
const configuration = {
  clients,
  clientAuthMethods: [...(bank.client_secret ? ['client_secret_basic'] : []), 'client_secret_post', 'private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth'],
  clientBasedCORS: () => true,
  scopes: [...bank.scopes, 'openid', 'offline_access', 'payments'],
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: () => true,
  ttl: { AccessToken: 20, AuthorizationCode: 60, Grant: 86400, Interaction: 600, RefreshToken: 86400, Session: 600, IdToken: 60 },
  cookies: { keys: ['test'] },
  enabledJWA: { clientAuthSigningAlgValues: ['ES256', 'PS256', 'EdDSA'] },
  findAccount: (ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  interactions: { url: (ctx, interaction) => `/login/${interaction.uid}` },
  // The keys of the hub are published on this machine.
  fetch: (url, options) => globalThis.fetch(url, { ...options, dispatcher: undefined }),
  features: {
    devInteractions: { enabled: false },
    dPoP: { enabled: true, ...(bank.dpop_nonces ? { nonceSecret: Buffer.alloc(32, 7), requireNonce: () => true } : {}) },
    revocation: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    requestObjects: { enabled: true },
    // The library accepts consent requests only for a resource, which the hub names by a constant parameter.
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({ scope: bank.scopes.join(' '), accessTokenFormat: 'opaque' }),
    },
    richAuthorizationRequests: {
      enabled: true,
      types: { 'fdx_v1.0': { validate: checkConsentRequest } },
      authorizationDetailsForGrantSource: (ctx) => grantDetails(JSON.parse(ctx.oidc.params.authorization_details)),
      authorizationDetailsForAccessToken: (ctx, token, source) => source.rar,
      authorizationDetailsForIntrospection: (ctx, token) => token.rar,
    },
    mTLS: {
      enabled: true,
      tlsClientAuth: true,
      selfSignedTlsClientAuth: true,
      getCertificate: certificate,
      certificateAuthorized: (ctx) => ctx.req.socket.authorized === true,
      certificateSubjectMatches: (ctx, property, expected) => certificate(ctx).checkHost(expected) !== undefined,
    },
  },
};

let provider;
const tokens = [];
// The parameters of the authorization requests, after pushed and signed ones were resolved.
const logins = [];
const pushed = [];

const json = (response, status, body) => {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
};

async function login(request, response) {
  const { params } = await provider.interactionDetails(request, response);
  logins.push(params);
  const grant = new provider.Grant({ accountId: 'alice', clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  if (params.resource) grant.addResourceScope(params.resource, params.scope);
  const result = { login: { accountId: 'alice' }, consent: { grantId: await grant.save() } };
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}

// The proofs of the reads of data. The library verifies those of token requests.
const proofs = [];

// Verifies the proof in a request for data (RFC 9449 §4.3), and returns its error code, if there is one.
async function findProofError(request, value, token) {
  const { payload, protectedHeader } = await jwtVerify(request.headers.dpop ?? '', EmbeddedJWK, { typ: 'dpop+jwt', algorithms: ['ES256'] });
  const key = await calculateJwkThumbprint(protectedHeader.jwk);
  const isValid = payload.htm === request.method && payload.htu === `${http}${new URL(request.url, http).pathname}`
    && payload.ath === createHash('sha256').update(value).digest('base64url') && key === token.jkt
    && Math.abs(payload.iat - Date.now() / 1000) < 60 && proofs.every(({ jti }) => jti !== payload.jti);
  if (!isValid) return 'invalid_dpop_proof';
  if (bank.dpop_nonces && payload.nonce !== 'nonce-of-the-data') return 'use_dpop_nonce';
  proofs.push({ jti: payload.jti, key, nonce: payload.nonce });
  return undefined;
}

async function accounts(request, response, isFlat) {
  const [scheme, value] = request.headers.authorization?.split(' ') ?? [];
  const token = value && await provider.AccessToken.find(value);
  if (!token || token.isExpired) return json(response, 401, { code: '401', message: 'unknown token' });
  if (scheme !== (token.jkt ? 'DPoP' : 'Bearer')) return json(response, 401, { code: '401', message: 'wrong scheme' });
  const error = token.jkt && await findProofError(request, value, token);
  if (bank.dpop_nonces) response.setHeader('dpop-nonce', 'nonce-of-the-data');
  if (error) {
    response.setHeader('www-authenticate', `DPoP algs="ES256", error="${error}"`);
    return json(response, 401, { code: '401', message: error });
  }
  const account = { accountId: 'a-1', accountType: 'CHECKING', status: 'OPEN', currency: { currencyCode: 'CAD' }, nickname: 'Chequing' };
  return json(response, 200, { accounts: [isFlat ? { ...account, accountCategory: 'DEPOSIT_ACCOUNT' } : { depositAccount: account }] });
}

const serve = (request, response) => {
  const { pathname } = new URL(request.url, 'http://bank');
  const handle = async () => {
    if (pathname.startsWith('/login/')) return login(request, response);
    if (pathname === '/fdx/accounts') return accounts(request, response, false);
    if (pathname === '/fdx/v6/accounts') return accounts(request, response, true);
    if (pathname === '/issued') return json(response, 200, tokens);
    if (pathname === '/proofs') return json(response, 200, proofs);
    if (pathname === '/logins') return json(response, 200, { logins, pushed: pushed.length });
    return provider.callback()(request, response);
  };
  handle().catch((error) => json(response, 500, { error: error.message }));
};

const listen = (server) => new Promise((resolve) => {
  server.listen(0, '127.0.0.1', () => resolve(server.address().port));
});
const http = `http://127.0.0.1:${await listen(createServer(serve))}`;
const tls = { cert: bank.certificate, key: bank.key, ca: bank.client_ca, requestCert: true, rejectUnauthorized: false };
const https = `https://127.0.0.1:${await listen(createTlsServer(tls, serve))}`;
const paths = { token_endpoint: 'token', revocation_endpoint: 'token/revocation', introspection_endpoint: 'token/introspection', pushed_authorization_request_endpoint: 'request' };
configuration.discovery = {
  mtls_endpoint_aliases: Object.fromEntries(Object.entries(paths).map(([name, path]) => [name, `${https}/${path}`])),
};
provider = new Provider(http, configuration);
provider.on('server_error', (ctx, error) => console.error(error));
for (const kind of ['grant', 'authorization', 'pushed_authorization_request']) {
  provider.on(`${kind}.error`, (ctx, error) => console.error(kind, error.message, error.error_description, error.error_detail));
}
provider.on('pushed_authorization_request.success', (ctx) => pushed.push(ctx.oidc.client.clientId));
for (const event of ['access_token.saved', 'refresh_token.saved']) {
  provider.on(event, (token) => tokens.push(token.jti));
}
process.stdout.write(`${JSON.stringify({ http, https })}\n`);
// The test ends the program by closing its input.
process.stdin.on('end', () => process.exit(0)).resume();
