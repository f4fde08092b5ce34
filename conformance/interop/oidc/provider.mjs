// The provider of `oidc-provider` (npm), which is certified by the OpenID Foundation: one client, one person whose role
// is in the ID token, and the forms that it brings for development. It listens until it is ended.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { generateKeyPairSync } from 'node:crypto';

const [, , modules, port, folder, algorithm, client, secret, redirect] = process.argv;
const { default: Provider } = await import(`${modules}/oidc-provider/lib/index.js`);

const key = (kind, options, more) => ({
  ...generateKeyPairSync(kind, options).privateKey.export({ format: 'jwk' }), use: 'sig', ...more,
});
const provider = new Provider(`https://127.0.0.1:${port}`, {
  clients: [{
    client_id: client, client_secret: secret, redirect_uris: [redirect], response_types: ['code'],
    grant_types: ['authorization_code'], token_endpoint_auth_method: 'client_secret_post',
    id_token_signed_response_alg: algorithm,
  }],
  jwks: { keys: [
    key('rsa', { modulusLength: 2048 }, { kid: 'rsa' }),
    key('ec', { namedCurve: 'P-256' }, { kid: 'ec' }),
  ] },
  claims: { openid: ['sub'], profile: ['name', 'roles'] },
  conformIdTokenClaims: false,
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, name: 'A. Operator', roles: ['Causeway.Operator'] }) }),
  pkce: { required: () => true },
  cookies: { keys: ['of this run'] },
});
createServer({ key: readFileSync(`${folder}/provider.key`), cert: readFileSync(`${folder}/provider.pem`) }, provider.callback())
  .listen(Number(port), '127.0.0.1');
