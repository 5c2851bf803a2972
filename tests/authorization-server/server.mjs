// A real OAuth 2.0 authorization server (oidc-provider) for the tests and the demo.
//
// In: the environment (see `settings`), and commands on a control interface of its own, plain HTTP
// on another loopback port. Out: tokens over HTTPS on 127.0.0.1.
// It must never listen beyond loopback, answer a control command on the OAuth port, or give a token
// or a client's secret to anyone but the client: the control interface knows tokens as SHA-256 only.
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { parse } from 'node:querystring';

import Provider, { errors } from 'oidc-provider';

const settings = {
  port: Number(process.env.PORT),
  controlPort: Number(process.env.CONTROL_PORT),
  certificate: readFileSync(process.env.CERTIFICATE_FILE),
  key: readFileSync(process.env.KEY_FILE),
  // Who signs the certificates of clients with `tls_client_auth`.
  clientAuthority: readFileSync(process.env.CLIENT_AUTHORITY_FILE),
  // The scopes that exist. One that a client is not registered for is answered `invalid_scope`.
  scopes: process.env.SCOPES.split(' '),
  // The resources that exist (RFC 8707). Any other is answered `invalid_target`.
  resources: process.env.RESOURCES.split(' '),
  // The one client that may introspect every token.
  introspector: process.env.INTROSPECTOR_ID,
};

const clients = new Map(); // id -> { metadata, lifetimeSeconds }
const behaviours = new Map(); // id -> { requests, issued, failure, holding, waiting }

function behaviour(id) {
  if (!behaviours.has(id)) {
    behaviours.set(id, { requests: 0, issued: [], failure: null, holding: false, waiting: new Set() });
  }
  return behaviours.get(id);
}

function issuedToken(token, { iat, exp, scope }) {
  return { sha256: sha256(token), issuedAtSeconds: iat, expiresAtSeconds: exp, scope: scope ?? '', revoked: false };
}

// What oidc-provider stores. Clients come from the control interface, everything else lives here.
class Adapter {
  static #stored = new Map();

  constructor(model) {
    this.model = model;
  }

  #key(id) {
    return `${this.model}:${id}`;
  }

  async upsert(id, payload, expiresIn) {
    if (this.model === 'ClientCredentials') {
      behaviour(payload.clientId).issued.push(issuedToken(id, payload));
    }
    Adapter.#stored.set(this.#key(id), { payload, until: Date.now() + (expiresIn ?? Infinity) * 1000 });
  }

  async find(id) {
    if (this.model === 'Client') return clients.get(id)?.metadata;
    const stored = Adapter.#stored.get(this.#key(id));
    return stored && stored.until > Date.now() ? stored.payload : undefined;
  }

  async destroy(id) {
    if (this.model === 'ClientCredentials') {
      const clientId = Adapter.#stored.get(this.#key(id))?.payload.clientId;
      for (const token of behaviour(clientId).issued) {
        if (token.sha256 === sha256(id)) token.revoked = true;
      }
    }
    Adapter.#stored.delete(this.#key(id));
  }

  async consume() {}

  async revokeByGrantId() {}
}

function sha256(text) {
  return createHash('sha256').update(text).digest('hex');
}

function lifetimeOf(client) {
  return clients.get(client.clientId)?.lifetimeSeconds ?? 60;
}

// A token for a resource is a JWT of that audience (RFC 9068).
function resourceServer(ctx, identifier, client) {
  if (!settings.resources.includes(identifier)) throw new errors.InvalidTarget();
  return {
    scope: settings.scopes.join(' '),
    audience: identifier,
    accessTokenTTL: lifetimeOf(client),
    accessTokenFormat: 'jwt',
    jwt: { sign: { alg: 'ES256' } },
  };
}

// RFC 8705. The handshake lets every certificate pass, so that a self-signed one comes as far as here.
const mutualTls = {
  enabled: true,
  tlsClientAuth: true,
  selfSignedTlsClientAuth: true,
  getCertificate: (ctx) => ctx.socket.getPeerX509Certificate(),
  certificateAuthorized: (ctx) => ctx.socket.authorized,
  // Names of one attribute only, such as `CN=orders`: Node writes each attribute on a line of its own.
  certificateSubjectMatches: (ctx, property, expected) =>
    property === 'tls_client_auth_subject_dn' && ctx.socket.getPeerX509Certificate().subject === expected,
};

function configuration() {
  // Encoded by the generator itself: `privateKey.export({ format: 'jwk' })` now and then never returns on
  // Node 20 (the export holds the key's lock while a garbage collection wants it): 2 of 300 starts hung.
  const encoding = { format: 'jwk' };
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256', publicKeyEncoding: encoding, privateKeyEncoding: encoding });
  return {
    adapter: Adapter,
    clientDefaults: { grant_types: ['client_credentials'], response_types: [], redirect_uris: [], id_token_signed_response_alg: 'ES256' },
    clientAuthMethods: [
      'client_secret_basic',
      'client_secret_post',
      'client_secret_jwt',
      'private_key_jwt',
      'tls_client_auth',
      'self_signed_tls_client_auth',
      'none',
    ],
    cookies: { keys: [randomBytes(32).toString('hex')] },
    // The other name of this host (RFC 8705 §5): who uses it has read the discovery document.
    discovery: { mtls_endpoint_aliases: { token_endpoint: `https://127.0.0.1:${settings.port}/token` } },
    enabledJWA: { clientAuthSigningAlgValues: ['HS256', 'HS384', 'HS512', 'RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'] },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      introspection: {
        enabled: true,
        allowedPolicy: (ctx, client, token) => client.clientId === settings.introspector || client.clientId === token.clientId,
      },
      mTLS: mutualTls,
      resourceIndicators: { enabled: true, getResourceServerInfo: resourceServer },
      revocation: { enabled: true },
    },
    jwks: { keys: [{ ...privateKey, alg: 'ES256', use: 'sig', kid: 'run' }] },
    scopes: settings.scopes,
    ttl: { ClientCredentials: (ctx, token, client) => lifetimeOf(client) },
  };
}

async function readBody(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

// What a JWT says, without asking whether it is true; nothing where it is none.
function claimsOf(jwt) {
  try {
    return JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url').toString());
  } catch {
    return {};
  }
}

// Who asks, as the server itself will see it (RFC 6749 §2.3.1: Basic carries form-encoded values).
function clientIdOf(authorization, body) {
  const basic = /^Basic (.+)$/i.exec(authorization);
  if (!basic) {
    const form = parse(body.toString());
    return String(form.client_id ?? claimsOf(String(form.client_assertion)).sub ?? '');
  }
  const [id] = Buffer.from(basic[1], 'base64').toString().split(':');
  try {
    return decodeURIComponent(id.replace(/\+/g, ' '));
  } catch {
    return id;
  }
}

// Counts every token request before the server looks at it; answers or holds it back when told to.
async function observeTokenRequests(ctx, next) {
  if (ctx.method !== 'POST' || ctx.path !== '/token') return next();
  const body = await readBody(ctx.req);
  ctx.req.body = body; // oidc-provider parses these bytes, since the stream is spent
  const state = behaviour(clientIdOf(ctx.get('authorization'), body));
  state.requests += 1;
  if (state.failure) {
    ctx.status = state.failure.status;
    for (const [name, value] of state.failure.headers) ctx.set(name, value);
    ctx.body = state.failure.body;
  } else {
    await next();
    // A JWT is stored nowhere, so the adapter has not seen it.
    const { iat, exp, scope } = claimsOf(String(ctx.body?.access_token));
    if (exp) state.issued.push(issuedToken(ctx.body.access_token, { iat, exp, scope }));
  }
  if (state.holding) await heldBack(state, ctx.res);
  return undefined;
}

// Ends with `release`, or when the client hangs up.
function heldBack(state, response) {
  if (response.closed || response.destroyed) return undefined;
  return new Promise((resolve) => {
    const done = () => {
      state.waiting.delete(done);
      response.off('close', done);
      resolve();
    };
    state.waiting.add(done);
    response.on('close', done);
  });
}

const provider = new Provider(`https://localhost:${settings.port}`, configuration());
provider.use(observeTokenRequests);
provider.on('server_error', (ctx, error) => console.error(error));
const tls = {
  cert: settings.certificate,
  key: settings.key,
  ca: settings.clientAuthority,
  requestCert: true,
  rejectUnauthorized: false,
};
const server = createHttpsServer(tls, provider.callback());

const commands = {
  ready: () => ({ listening: server.listening }),
  // `metadata` is what a client registers (RFC 7591 §2), its id included. Looking it up checks it.
  'set-client': async ({ id, lifetimeSeconds, metadata }) => {
    clients.set(id, { metadata, lifetimeSeconds });
    await provider.Client.find(id);
  },
  'set-secret': ({ id, secret }) => {
    const client = clients.get(id);
    if (!client) throw new Error(`no client ${id}`);
    clients.set(id, { ...client, metadata: { ...client.metadata, client_secret: secret } });
  },
  'remove-client': ({ id }) => ({ removed: clients.delete(id) }),
  observed: ({ id }) => {
    const { requests, issued, waiting } = behaviour(id);
    return { requests, issued, held: waiting.size };
  },
  hold: ({ id }) => {
    behaviour(id).holding = true;
  },
  release: ({ id }) => {
    const state = behaviour(id);
    state.holding = false;
    for (const done of [...state.waiting]) done();
  },
  fail: ({ id, failure }) => {
    behaviour(id).failure = failure;
  },
  stop: () => new Promise((resolve) => {
    if (!server.listening) return resolve();
    server.close(() => resolve());
    server.closeAllConnections();
    return undefined;
  }),
  start: () => listen(server, settings.port),
};

function listen(listener, port) {
  if (listener.listening) return undefined;
  return new Promise((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(port, '127.0.0.1', () => {
      listener.off('error', reject);
      resolve();
    });
  });
}

// POST /COMMAND with a JSON object; 200 with a JSON object, or 500 with the error's text.
const control = createHttpServer(async (request, response) => {
  try {
    const command = commands[request.url.slice(1)];
    if (!command) throw new Error(`no command ${request.url}`);
    const argument = JSON.parse((await readBody(request)).toString() || '{}');
    response.end(JSON.stringify((await command(argument)) ?? {}));
  } catch (error) {
    response.statusCode = 500;
    response.end(String(error));
  }
});

await listen(server, settings.port);
await listen(control, settings.controlPort);
