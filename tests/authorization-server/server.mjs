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

import Provider from 'oidc-provider';

const settings = {
  port: Number(process.env.PORT),
  controlPort: Number(process.env.CONTROL_PORT),
  certificate: readFileSync(process.env.CERTIFICATE_FILE),
  key: readFileSync(process.env.KEY_FILE),
  // The scopes that exist. One that a client is not registered for is answered `invalid_scope`.
  scopes: process.env.SCOPES.split(' '),
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
      behaviour(payload.clientId).issued.push({
        sha256: sha256(id),
        issuedAtSeconds: payload.iat,
        expiresAtSeconds: payload.exp,
        scope: payload.scope ?? '',
        revoked: false,
      });
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

function configuration() {
  // Encoded by the generator itself: `privateKey.export({ format: 'jwk' })` now and then never returns on
  // Node 20 (the export holds the key's lock while a garbage collection wants it): 2 of 300 starts hung.
  const encoding = { format: 'jwk' };
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256', publicKeyEncoding: encoding, privateKeyEncoding: encoding });
  return {
    adapter: Adapter,
    clientDefaults: { grant_types: ['client_credentials'], response_types: [], redirect_uris: [], id_token_signed_response_alg: 'ES256' },
    clientAuthMethods: ['client_secret_basic', 'client_secret_post'],
    cookies: { keys: [randomBytes(32).toString('hex')] },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      introspection: {
        enabled: true,
        allowedPolicy: (ctx, client, token) => client.clientId === settings.introspector || client.clientId === token.clientId,
      },
      revocation: { enabled: true },
    },
    jwks: { keys: [{ ...privateKey, alg: 'ES256', use: 'sig', kid: 'run' }] },
    scopes: settings.scopes,
    ttl: { ClientCredentials: (ctx, token, client) => clients.get(client.clientId)?.lifetimeSeconds ?? 60 },
  };
}

async function readBody(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

// Who asks, as the server itself will see it (RFC 6749 §2.3.1: Basic carries form-encoded values).
function clientIdOf(authorization, body) {
  const basic = /^Basic (.+)$/i.exec(authorization);
  if (!basic) return String(parse(body.toString()).client_id ?? '');
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
const tls = { cert: settings.certificate, key: settings.key };
const server = createHttpsServer(tls, provider.callback());

const commands = {
  ready: () => ({ listening: server.listening }),
  'set-client': ({ id, secret, lifetimeSeconds, authMethod, scope }) => {
    const metadata = { client_id: id, client_secret: secret, token_endpoint_auth_method: authMethod, scope };
    clients.set(id, { metadata, lifetimeSeconds });
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
