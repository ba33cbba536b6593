// An OAuth 2.0 server for tests on 127.0.0.1:$PORT. Each token event is one JSON line on standard output: the oracle for what was
// issued, spent, used again and revoked. Tokens stand in it, so that a test can look for them where they must not be.
import Provider from 'oidc-provider';

const { env } = process;
const port = Number(env.PORT);
const seconds = Number(env.ACCESS_TOKEN_SECONDS ?? 5);
const secret = env.CLIENT_SECRET;
// native clients: the port of a loopback redirect may vary (RFC 8252 section 7.3)
const redirects = (env.REDIRECT_URIS ?? 'http://127.0.0.1/connect/callback').split(',');
const user = ['authorization_code', 'refresh_token'];

const client = (id, method, grants, more = {}) => ({
  client_id: id,
  ...(['none', 'private_key_jwt'].includes(method) ? {} : { client_secret: secret }),
  token_endpoint_auth_method: method,
  grant_types: grants,
  response_types: grants === user ? ['code'] : [],
  redirect_uris: grants === user ? redirects : [],
  application_type: 'native',
  scope: 'openid offline_access read',
  ...more,
});
const clients = [
  client('machine-basic', 'client_secret_basic', ['client_credentials']),
  client('machine-body', 'client_secret_post', ['client_credentials']),
  client('user-basic', 'client_secret_basic', user),
  client('user-body', 'client_secret_post', user),
  client('user-public', 'none', user),
];
if (env.CLIENT_JWKS) {
  const jwks = JSON.parse(env.CLIENT_JWKS);
  for (const { alg, kid } of jwks.keys) {
    const own = { jwks: { keys: jwks.keys.filter((key) => key.kid === kid) }, token_endpoint_auth_signing_alg: alg };
    clients.push(client(`machine-${alg}`, 'private_key_jwt', ['client_credentials'], own));
  }
}

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients,
  scopes: ['openid', 'offline_access', 'read'],
  pkce: { required: () => true, methods: ['S256'] },
  rotateRefreshToken: () => env.ROTATE !== 'never',
  issueRefreshToken: (_ctx, who, code) => who.grantTypeAllowed('refresh_token') && code.scopes.has('offline_access'),
  enabledJWA: { clientAuthSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA'] },
  ttl: {
    AccessToken: seconds, ClientCredentials: seconds, RefreshToken: 86400, AuthorizationCode: 60, Grant: 86400, Session: 86400,
    Interaction: 600,
  },
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:records',
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({ scope: 'read', accessTokenFormat: 'opaque', accessTokenTTL: seconds }),
    },
  },
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
});

const tell = (event, detail) => console.log(JSON.stringify({ event, ...detail }));
const asked = (ctx) => ({ client: ctx.oidc.client?.clientId, grant: ctx.oidc.params?.grant_type });
provider.on('grant.success', (ctx) => {
  tell('issued', { ...asked(ctx), access: ctx.body.access_token, refresh: ctx.body.refresh_token });
});
provider.on('grant.error', (ctx, err) => tell('refused', { ...asked(ctx), error: err.error, detail: err.error_detail }));
provider.on('grant.revoked', () => tell('revoked', {}));
provider.on('refresh_token.consumed', () => tell('consumed', {}));
provider.on('authorization.success', (ctx) => tell('authorized', { client: ctx.oidc.client?.clientId }));
provider.on('authorization.error', (ctx, err) => tell('denied', { client: ctx.oidc.client?.clientId, error: err.error }));
provider.on('server_error', (_ctx, err) => tell('defect', { error: String(err.stack) }));

// ended with the process that started it
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
provider.listen(port, '127.0.0.1', () => tell('ready', {}));
