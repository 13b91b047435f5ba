import { createHmac } from 'node:crypto';
import type { Case } from './case.ts';
import { set } from './edits.ts';
import type { Json } from './world.ts';
import {
  artifact,
  chainOf,
  claimsAt,
  ed25519,
  es256,
  issuer,
  jws,
  listed,
  proof,
  statusKey,
  vectorAt,
  worker,
} from './world.ts';

const CHECK = 'signature_invalid';
type Row = readonly [name: string, description: string, vector: Json];

const one = (token: string): Json => vectorAt(0, { chain: [token] });
const header = (change: Json): Json => one(artifact(claimsAt(0), issuer, change));
const claims = (change: Json): Json => one(artifact({ ...claimsAt(0), ...change }));

/** The parts of a token. */
function parts(token: string): [string, string, string] {
  const [head = '', payload = '', signature = ''] = token.split('.');
  return [head, payload, signature];
}

/** Keys and algorithms come from configuration, and all of a token's bytes count. */
export function SIGNATURE_CASES(): readonly Case[] {
  const [root = ''] = chainOf(1);
  const rows: Row[] = [...keyRows(root), ...headerRows(root), ...formRows(root), ...claimRows()];
  return rows.map(([name, description, vector]) => [CHECK, name, description, vector]);
}

function keyRows(root: string): Row[] {
  const other = es256('somebody');
  return [
    ['empty-chain', 'nothing is signed, so nothing is shown', vectorAt(0, { chain: [] })],
    ['no-trusted-key', 'an empty key set trusts nobody', vectorAt(0, { trust: { keys: [] } })],
    ['unknown-kid', 'signed by a key that is not in the set', one(artifact(claimsAt(0), other))],
    [
      'known-kid-other-key',
      'names the trusted key, signed by another',
      one(artifact(claimsAt(0), other, { kid: issuer.kid })),
    ],
    ['status-key', 'the key for status lists signs no authorization', one(artifact(claimsAt(0), statusKey))],
    ['workload-key', 'a holder writes itself a child', vectorAt(1, { chain: selfMade() })],
    [
      'middle-link-forged',
      'root and leaf are right, the link between is not',
      vectorAt(2, { chain: chainOf(3).map((token, i) => (i === 1 ? flipped(token) : token)) }),
    ],
    ['leaf-forged', 'the last link is not signed', vectorAt(3, { chain: flippedLast(chainOf(4)) })],
    [
      'algorithm-of-key-is-other',
      'the key set says Ed25519 for this kid',
      vectorAt(0, {
        trust: { keys: [{ ...listed(ed25519('authorization')), kid: issuer.kid }] },
      }),
    ],
    ['signature-flipped', 'one bit of the signature', one(flipped(root))],
  ];
}

function selfMade(): string[] {
  const root = chainOf(1)[0] ?? '';
  return [root, artifact(claimsAt(1, { token: root, claims: claimsAt(0) }), worker(0))];
}

function headerRows(root: string): Row[] {
  const [, payload] = parts(root);
  const none = Buffer.from(JSON.stringify({ alg: 'none', kid: issuer.kid, typ: 'exec-authz+jwt' }));
  return [
    ['alg-none', 'no signature at all', one(`${none.toString('base64url')}.${payload}.`)],
    ['alg-hs256', 'HMAC under the public key', one(hmacSigned(payload))],
    ['alg-other', 'the header says ES384, the signature is ES256', header({ alg: 'ES384' })],
    ['alg-missing', 'no algorithm', header({ alg: undefined })],
    ['typ-jwt', 'typ of another kind of token', header({ typ: 'JWT' })],
    ['typ-missing', 'no typ', header({ typ: undefined })],
    ['typ-with-prefix', 'typ is compared literally', header({ typ: 'application/exec-authz+jwt' })],
    ['typ-upper-case', 'typ is compared literally', header({ typ: 'EXEC-AUTHZ+JWT' })],
    ['kid-missing', 'no key named', header({ kid: undefined })],
    ['header-jwk', 'brings its own key', header({ jwk: es256('somebody').jwk })],
    ['header-jku', 'says where to fetch keys', header({ jku: 'https://evil.example/jwks.json' })],
    ['header-crit', 'an extension that nobody knows', header({ crit: ['exp'], exp: 1 })],
    ['header-b64', 'RFC 7797: another signing input', header({ b64: false, crit: ['b64'] })],
    ['holder-proof-as-link', 'a proof of the holder in the place of an artifact', one(proof(worker(0)))],
    [
      'attestation-result-as-link',
      'by the right key, with the typ of an attestation result',
      header({ typ: 'eat+jwt' }),
    ],
  ];
}

function hmacSigned(payload: string): string {
  const head = Buffer.from(JSON.stringify({ alg: 'HS256', kid: issuer.kid, typ: 'exec-authz+jwt' }));
  const input = `${head.toString('base64url')}.${payload}`;
  const secret = issuer.public.export({ type: 'spki', format: 'pem' });
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}

function formRows(root: string): Row[] {
  const [head, payload, signature] = parts(root);
  const text = JSON.stringify(claimsAt(0));
  const head0 = { alg: 'ES256', kid: issuer.kid, typ: 'exec-authz+jwt' };
  return [
    [
      'payload-changed',
      'other claims under the old signature',
      one([head, reencoded(payload), signature].join('.')),
    ],
    ['empty-token', 'an empty text', one('')],
    ['two-parts', 'the signature is missing', one(`${head}.${payload}`)],
    ['four-parts', 'something after the signature', one(`${root}.AA`)],
    ['padded', 'base64 padding', one(`${root}==`)],
    ['space-after', 'white space after the token', one(`${root} `)],
    ['line-break-inside', 'a line break that lenient decoders drop', one(root.replace('.', '\n.'))],
    ['signature-too-short', 'one byte of the signature is missing', one(root.slice(0, -2))],
    ['signature-der', 'the signature in DER, which JWS never has', one(der(root))],
    [
      'json-serialization',
      'JWS in JSON (RFC 7515 §7.2)',
      one(JSON.stringify({ protected: head, payload, signature })),
    ],
    [
      'duplicate-member',
      'sub twice: parsers disagree which one counts',
      one(jws(head0, text.replace('{', '{"sub":"https://idp.example.org#admin",'), issuer)),
    ],
    [
      'unsafe-integer',
      'a number that parsers round differently',
      one(jws(head0, text.replace('"del_max_depth":8', '"del_max_depth":9007199254740993'), issuer)),
    ],
    ['payload-no-json', 'signed, and no JSON', one(jws(head0, 'sub=alice', issuer))],
    ['payload-array', 'signed, and no object', one(jws(head0, '[]', issuer))],
    ['data-after-payload', 'a second document after the claims', one(jws(head0, `${text}{}`, issuer))],
  ];
}

function claimRows(): Row[] {
  return [
    ['issuer-other', 'another issuer by the same key', claims({ iss: 'https://other.example.org' })],
    [
      'issuer-trailing-slash',
      'issuers are compared literally',
      claims({ iss: 'https://verifier.example.org/' }),
    ],
    [
      'trust-domain-other',
      'another trust domain by the same key',
      claims({ gov: { trust_domain: 'other.org', authorities: [] } }),
    ],
    [
      'ancestor-of-other-domain',
      'the root is of another trust domain',
      vectorAt(1, { chain: chainOf(2, set(0, { gov: { trust_domain: 'other.org', authorities: [] } })) }),
    ],
    ['unknown-claim', 'a claim that this version doesn’t know', claims({ admin: true })],
    ['jti-missing', 'no identifier', one(artifact(without('jti')))],
    ['nonce-missing', 'bound to no challenge', one(artifact(without('eat_nonce')))],
    ['policy-missing', 'under no policy', one(artifact(without('policy')))],
    ['evidence-not-a-list', 'evidence of another type', claims({ evidence: {} })],
  ];
}

function without(name: string): Json {
  const { [name]: _left, ...others } = claimsAt(0);
  return others;
}

/** The last bit of the signature that counts. */
function flipped(token: string): string {
  const [head, payload, signature] = parts(token);
  const bytes = Buffer.from(signature, 'base64url');
  bytes[40] = (bytes[40] ?? 0) ^ 1;
  return [head, payload, bytes.toString('base64url')].join('.');
}

const flippedLast = (chain: string[]): string[] =>
  chain.map((token, i) => (i === chain.length - 1 ? flipped(token) : token));

function reencoded(payload: string): string {
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Json;
  return Buffer.from(JSON.stringify({ ...claims, sub: 'https://idp.example.org#mallory' })).toString(
    'base64url',
  );
}

/** r ‖ s as ECDSA-Sig-Value. */
function der(token: string): string {
  const [head, payload, signature] = parts(token);
  const bytes = Buffer.from(signature, 'base64url');
  const integer = (half: Buffer): Buffer => {
    const padded = (half[0] ?? 0) < 0x80 ? half : Buffer.concat([Buffer.of(0), half]);
    return Buffer.concat([Buffer.of(2, padded.length), padded]);
  };
  const body = Buffer.concat([integer(bytes.subarray(0, 32)), integer(bytes.subarray(32))]);
  return [head, payload, Buffer.concat([Buffer.of(0x30, body.length), body]).toString('base64url')].join('.');
}
