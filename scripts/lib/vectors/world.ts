import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import type { AuthorizationVector } from '../../../src/authorization/index.ts';
import { jwkThumbprint } from '../../../src/base/index.ts';
import { es256Key, signEs256 } from '../deterministic-es256.ts';

/**
 * The world that vectors are made in. It signs by itself, not with the code that is tested, and every byte follows from
 * names: keys are hashes of their name.
 */
export type Json = Record<string, unknown>;

/** Unix seconds at which vectors are judged. */
export const NOW = 1_800_000_000;
export const ISSUER = 'https://verifier.example.org';
export const DOMAIN = 'example.org';
export const STATUS_URI = `${ISSUER}/v1/status-lists/primary-0`;

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();
/** base64url SHA-256 of a text. */
export const hashText = (text: string): string => sha256(text).toString('base64url');

/** A test key: never one of a real verifier. */
export interface TestKey {
  readonly kid: string;
  readonly alg: 'ES256' | 'Ed25519';
  readonly public: KeyObject;
  readonly jwk: Json;
  readonly sign: (input: string) => Uint8Array;
}

/** The P-256 key of a name. */
export function es256(name: string): TestKey {
  const secret = sha256(`sealgate test key ${name}`);
  const key = createPublicKey(es256Key(secret));
  const jwk = key.export({ format: 'jwk' });
  const kid = jwkThumbprint(key);
  return { kid, alg: 'ES256', public: key, jwk, sign: (input) => signEs256(Buffer.from(input), secret) };
}

/** The Ed25519 key of a name (RFC 8032 signatures are deterministic). */
export function ed25519(name: string): TestKey {
  const prefix = Buffer.from('302e020100300506032b657004220420', 'hex');
  const secret = createPrivateKey({
    key: Buffer.concat([prefix, sha256(`sealgate test key ${name}`)]),
    format: 'der',
    type: 'pkcs8',
  });
  const key = createPublicKey(secret);
  const jwk = key.export({ format: 'jwk' });
  return {
    kid: jwkThumbprint(key),
    alg: 'Ed25519',
    public: key,
    jwk,
    sign: (input) => sign(null, Buffer.from(input), secret),
  };
}

/** A key as a key set lists it. */
export const listed = ({ jwk, kid, alg }: TestKey): Json => ({ ...jwk, kid, alg });

export const issuer = es256('authorization');
export const statusKey = es256('status');
export const worker = (depth: number): TestKey => es256(`workload ${String(depth)}`);
export const hostOf = (depth: number): string => sha256(`host ${String(depth)}`).toString('hex');
export const audienceOf = (depth: number): string => `spiffe://${DOMAIN}/host/${hostOf(depth)}`;

const b64 = (text: string): string => Buffer.from(text).toString('base64url');

/** A JWS compact of any header and payload. */
export function jws(header: Json, payload: string, by: TestKey): string {
  const input = `${b64(JSON.stringify(header))}.${b64(payload)}`;
  return `${input}.${Buffer.from(by.sign(input)).toString('base64url')}`;
}

/** An artifact, by whoever: its claims are not looked at. */
export function artifact(claims: Json, by: TestKey = issuer, header: Json = {}): string {
  return jws({ alg: by.alg, kid: by.kid, typ: 'exec-authz+jwt', ...header }, JSON.stringify(claims), by);
}

export const parHash = (token: string): string => hashText(token.slice(0, token.lastIndexOf('.')));

/** Scopes by depth: each link gives up something. */
const SCOPES = [
  ['orders.*', 'mail.send', 'stock.read'],
  ['orders.*', 'mail.send'],
  ['orders.*'],
  ['orders.read'],
];
const scopesAt = (depth: number): string[] => SCOPES[Math.min(depth, SCOPES.length - 1)] ?? [];

/** The claims of the link at a depth, under a parent. */
export function claimsAt(depth: number, parent?: { readonly token: string; readonly claims: Json }): Json {
  const issued = NOW - 60 + depth;
  return {
    iss: ISSUER,
    sub: 'https://idp.example.org#alice',
    aud: audienceOf(depth),
    iat: issued,
    nbf: issued,
    exp: NOW + 200 - 5 * depth,
    jti: hashText(`jti ${String(depth)}`).slice(0, 22),
    client_id: `01930000-0000-7000-8000-00000000000${String(depth)}`,
    ...(parent === undefined
      ? { act: { sub: 'https://idp.example.org#alice' } }
      : { act: { sub: parent.claims['client_id'], act: parent.claims['act'] } }),
    txn: '01930000-0000-7000-8000-000000000000',
    cnf: { jkt: worker(depth).kid },
    eat_nonce: hashText(`nonce ${String(depth)}`),
    authorization_details: [
      {
        type: 'sealgate_execution',
        actions: ['execute'],
        artifact: `sha256:${sha256(`artifact ${String(depth)}`).toString('hex')}`,
        host: hostOf(depth),
        scopes: scopesAt(depth),
        constraints: { children: 16 - depth, lifetime: 3600 - 60 * depth },
      },
    ],
    del_depth: depth,
    del_max_depth: 8,
    ...(parent === undefined ? {} : { par_hash: parHash(parent.token) }),
    status: { status_list: { idx: 1000 + 7 * depth, uri: STATUS_URI } },
    policy: {
      uri: `${ISSUER}/v1/policies/active`,
      digest: `sha256:${sha256('policy').toString('hex')}`,
      ids: ['run-signed'],
    },
    evidence: [
      { name: 'quote', sha256: sha256(`quote ${String(depth)}`).toString('hex') },
      { name: 'attestation-result', sha256: sha256(`result ${String(depth)}`).toString('hex') },
    ],
    gov: { trust_domain: DOMAIN, authorities: [hashText('authority')] },
    attr: { owner: 'orders team', signers: [sha256('signer').toString('hex')] },
  };
}

/** Changes one link's claims. */
export type Edit = (claims: Json, depth: number) => Json;

/** A chain, root first, `length` links; each names the one before as it was signed. */
export function chainOf(length: number, edit: Edit = (claims) => claims, by: TestKey = issuer): string[] {
  const links: { token: string; claims: Json }[] = [];
  for (let depth = 0; depth < length; depth++) {
    const claims = edit(claimsAt(depth, links[depth - 1]), depth);
    links.push({ token: artifact(claims, by), claims });
  }
  return links.map(({ token }) => token);
}

/** A status list; indexes in `set` have the value `value`. */
export function statusList(change: Json = {}, options: StatusOptions = {}): string {
  const { set = [], bits = 1, value = 1, by = statusKey, header = {}, entries = 2048, lst } = options;
  const bytes = Buffer.alloc((entries * bits) / 8);
  const perByte = 8 / bits;
  for (const index of set) {
    const at = Math.floor(index / perByte);
    bytes[at] = (bytes[at] ?? 0) | (value << ((index % perByte) * bits));
  }
  const claims = {
    sub: STATUS_URI,
    iat: NOW - 10,
    exp: NOW + 50,
    ttl: 15,
    status_list: { bits, lst: lst ?? deflateSync(bytes, { level: 9 }).toString('base64url') },
    ...change,
  };
  const head = { alg: by.alg, kid: by.kid, typ: 'statuslist+jwt', ...header };
  return jws(head, JSON.stringify(claims), by);
}

export interface StatusOptions {
  readonly set?: readonly number[];
  readonly bits?: 1 | 2 | 4;
  readonly value?: number;
  readonly by?: TestKey;
  readonly header?: Json;
  readonly entries?: number;
  readonly lst?: string;
}

/** Which index the link at a depth has. */
export const statusIndex = (depth: number): number => 1000 + 7 * depth;

export const REQUEST_DIGEST = sha256('the request').toString('hex');
export const NONCE = hashText('challenge');

/** The proof that the holder of a key made for the request. */
export function proof(by: TestKey, change: Json = {}, header: Json = {}): string {
  const claims = { aud: DOMAIN, nonce: NONCE, requestDigest: REQUEST_DIGEST, ...change };
  const head = { alg: by.alg, kid: by.kid, typ: 'exec-holder+jwt', ...header };
  return jws(head, JSON.stringify(claims), by);
}

type Parts = Pick<AuthorizationVector, 'chain' | 'now'> & {
  readonly scopes: readonly string[];
  readonly holder: Json;
  readonly trust: Json;
};

/** A vector of a chain that ends at `depth`; whatever `change` says is different. */
export function vectorAt(depth: number, change: Partial<Parts> = {}): Json {
  const { chain, scopes = ['orders.read'], now = NOW, holder = {}, trust = {} } = change;
  const key = worker(depth);
  return {
    chain: chain ?? chainOf(depth + 1),
    request: {
      scopes,
      holder: {
        proof: proof(key),
        key: key.jwk,
        audience: DOMAIN,
        nonce: NONCE,
        requestDigest: REQUEST_DIGEST,
        ...holder,
      },
    },
    trust: {
      keys: [listed(issuer)],
      issuer: ISSUER,
      trustDomain: DOMAIN,
      audience: audienceOf(depth),
      ceilings: { depth: 8, lifetime: 300, scopes: ['orders.*', 'mail.send', 'stock.read'] },
      status: { keys: [listed(statusKey)], lists: [statusList()] },
      ...trust,
    },
    now,
  };
}
