// A company's OpenID Connect provider: oidc-provider, with people, clients and keys that a test chooses.
//
//   node provider.mjs MODULES PORT CONFIG     CONFIG is JSON; see `changed` for what is in it
//
// Who signs in is named by `login_hint`, or on the page that a browser is shown; nobody has a password.
// POST /control takes other values for some of CONFIG, and `{"rotate": "keep" | "drop"}` for new keys
// beside those of before, or in their place. It listens on 127.0.0.1 alone.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const [modules, port, given] = process.argv.slice(2);
const { Provider } = await import(pathToFileURL(`${modules}/oidc-provider/lib/index.js`));

const issuer = `http://127.0.0.1:${port}`;
const cookieKeys = [randomBytes(16).toString('hex')];
const CLAIMS = ['preferred_username', 'name', 'email', 'groups', 'organization'];

let config = {
  audience: 'knowledge-base',
  algorithm: 'RS256',
  lifetime_s: 3600,
  clients: [],
  people: {},
};
let keys = [];
let provider;

function newKeys() {
  const pairs = {
    RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
    ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    EdDSA: generateKeyPairSync('ed25519'),
  };
  return Object.entries(pairs).map(([alg, { privateKey }]) => ({
    ...privateKey.export({ format: 'jwk' }),
    use: 'sig',
    alg,
    kid: `${alg}-${randomBytes(4).toString('hex')}`,
  }));
}

// What a person is, in ID tokens and access tokens alike.
function claimsOf(subject) {
  const person = config.people[subject] ?? {};
  return { sub: subject, preferred_username: subject, ...person };
}

function built() {
  const resource = `${issuer}/resources/${config.audience}`;
  return new Provider(issuer, {
    jwks: { keys },
    clients: config.clients.map((client) => ({
      grant_types: ['authorization_code'],
      response_types: ['code'],
      id_token_signed_response_alg: config.algorithm,
      ...client,
    })),
    cookies: { keys: cookieKeys },
    scopes: ['openid', 'profile'],
    claims: { openid: ['sub'], profile: CLAIMS },
    // The ID token has all claims, also where an access token comes along.
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256', 'EdDSA'] },
    ttl: { AccessToken: config.lifetime_s, IdToken: config.lifetime_s, Interaction: 600, Session: 3600, Grant: 3600 },
    findAccount: (_ctx, subject) => ({ accountId: subject, claims: () => claimsOf(subject) }),
    extraTokenClaims: (_ctx, token) => (token.accountId ? claimsOf(token.accountId) : {}),
    features: {
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => resource,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: 'kb',
          audience: config.audience,
          accessTokenFormat: 'jwt',
          accessTokenTTL: config.lifetime_s,
          jwt: { sign: { alg: config.algorithm } },
        }),
      },
    },
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    // What is asked for is granted.
    loadExistingGrant: async (ctx) => {
      const { client, session } = ctx.oidc;
      const known = session.grantIdFor(client.clientId);
      if (known) return ctx.oidc.provider.Grant.find(known);
      const grant = new ctx.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId });
      grant.addOIDCScope('openid profile');
      grant.addResourceScope(resource, 'kb');
      await grant.save();
      return grant;
    },
  });
}

function changed({ rotate, ...values }) {
  config = { ...config, ...values };
  if (keys.length === 0 || rotate === 'drop') keys = newKeys();
  if (rotate === 'keep') keys = [...newKeys(), ...keys];
  provider = built();
}

async function bodyOf(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function control(request, response) {
  changed(JSON.parse(await bodyOf(request)));
  response.end('{}');
}

const PAGE = `<!doctype html><html lang="en"><title>Company sign-in</title>
<form method="post"><label>Name <input name="person" autofocus></label><button>Sign in</button></form></html>`;

async function interaction(request, response) {
  const details = await provider.interactionDetails(request, response);
  if (details.prompt.name === 'consent') {
    // A program on a person's own machine is asked about each time: he agrees.
    await provider.interactionFinished(request, response, { consent: {} }, { mergeWithLastSubmission: true });
    return;
  }
  const person = request.method === 'POST'
    ? new URLSearchParams(await bodyOf(request)).get('person')
    : details.params.login_hint;
  if (!person) {
    response.setHeader('Content-Type', 'text/html; charset=utf-8');
    response.end(PAGE);
    return;
  }
  const result = person in config.people
    ? { login: { accountId: person } }
    : { error: 'access_denied', error_description: 'nobody of that name' };
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}

async function answer(request, response) {
  const { pathname } = new URL(request.url, issuer);
  if (pathname === '/control' && request.method === 'POST') return control(request, response);
  if (/^\/interaction\/[\w-]+$/.test(pathname)) return interaction(request, response);
  return provider.callback()(request, response);
}

changed(JSON.parse(given));
createServer((request, response) => {
  answer(request, response).catch((error) => {
    console.error(error);
    response.statusCode = 500;
    response.end();
  });
}).listen(Number(port), '127.0.0.1', () => console.log(JSON.stringify({ ready: true })));
