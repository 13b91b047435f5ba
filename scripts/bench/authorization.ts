/**
 * Authorizations at depth 8: minting the ninth link under its parent, and verifying a whole chain of nine with its
 * holder's proof and the status of every link. Beside each the bare ECDSA P-256 operations that it can't do without: one
 * signature; nine verifications and that of the proof and of the status list. Both are measured by turns and in
 * processor time, so that a busy machine doesn't favour either; half the loops have the one first, half the other.
 */
import { generateKeyPairSync, sign, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { parseArgs } from 'node:util';
import {
  issueAuthorization,
  makeHolderProof,
  signJws,
  signStatusList,
  statusFrom,
  thumbprint,
  verifyAuthorization,
} from '../../src/authorization/index.ts';
import type { AuthorizationClaims, ParentAuthorization } from '../../src/authorization/index.ts';
import { DOMAIN, ISSUER, NOW, STATUS_URI, audienceOf, claimsAt } from '../lib/vectors/world.ts';
import type { Json } from '../lib/vectors/world.ts';

const PAIRS = 6;
const MILLISECONDS = 500;
const DEPTH = 8;

const { values } = parseArgs({
  options: { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
});
if (values.help) {
  process.stdout.write('usage: scripts/bench/authorization [--json]\n');
  process.exit(0);
}

interface Chain {
  readonly links: readonly ParentAuthorization[];
  readonly issuer: { readonly privateKey: KeyObject; readonly publicKey: KeyObject };
  readonly holder: { readonly privateKey: KeyObject; readonly publicKey: KeyObject };
  readonly kid: string;
}

const pair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });

async function makeChain(): Promise<Chain> {
  const [issuer, holder] = [pair(), pair()];
  const [kid, jkt] = [await thumbprint(issuer.publicKey), await thumbprint(holder.publicKey)];
  const links: ParentAuthorization[] = [];
  for (let depth = 0; depth <= DEPTH; depth++) {
    const before = links[depth - 1];
    const parent = before && { token: before.token, claims: before.claims as unknown as Json };
    const claims = { ...claimsAt(depth, parent), cnf: { jkt } } as unknown as AuthorizationClaims;
    const token = await signJws(claims as never, 'exec-authz+jwt', {
      kid,
      algorithm: 'ES256',
      key: issuer.privateKey,
    });
    links.push({ token, claims });
  }
  return { links, issuer, holder, kid };
}

/** Operations per second of processor time. */
async function rate(operation: () => Promise<void> | void): Promise<number> {
  const start = process.cpuUsage();
  const end = process.hrtime.bigint() + BigInt(MILLISECONDS) * 1_000_000n;
  let count = 0;
  while (process.hrtime.bigint() < end) {
    await operation();
    count++;
  }
  const { user, system } = process.cpuUsage(start);
  return (count * 1e6) / (user + system);
}

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;

async function compare(name: string, ours: () => Promise<void>, bare: () => void) {
  const rows: { ours: number; bare: number }[] = [];
  for (let i = 0; i < PAIRS; i++) {
    const first = i % 2 === 0 ? await rate(ours) : await rate(bare);
    const second = i % 2 === 0 ? await rate(bare) : await rate(ours);
    rows.push(i % 2 === 0 ? { ours: first, bare: second } : { ours: second, bare: first });
  }
  return {
    name,
    perSecond: median(rows.map((row) => row.ours)),
    barePerSecond: median(rows.map((row) => row.bare)),
    ratio: median(rows.map((row) => row.ours / row.bare)),
  };
}

const { links, issuer, holder, kid } = await makeChain();
const chain = links.map(({ token }) => token);
const [parent, leaf] = links.slice(-2) as [ParentAuthorization, ParentAuthorization];
const signing = { kid, algorithm: 'ES256' as const, key: issuer.privateKey };
const keys = [{ kid, algorithm: 'ES256' as const, key: issuer.publicKey }];
const binding = { audience: DOMAIN, nonce: 'bm9uY2U', requestDigest: new Uint8Array(32) };
const proof = await makeHolderProof(binding, holder.privateKey);
const list = { uri: STATUS_URI, bits: new Uint8Array(8192), issuedAt: NOW, expires: NOW + 60, ttl: 15 };
const statusToken = await signStatusList(list, signing);

async function verifyOnce(): Promise<void> {
  await verifyAuthorization(
    chain,
    { scopes: ['orders.read'], holder: { key: holder.publicKey, proof, binding } },
    {
      keys,
      issuer: ISSUER,
      trustDomain: DOMAIN,
      audience: audienceOf(DEPTH),
      status: await statusFrom([statusToken], keys, NOW),
      ceilings: { depth: 8, lifetime: 300, scopes: ['orders.*'] },
    },
    NOW,
  );
}
const mintOnce = async (): Promise<void> => {
  await issueAuthorization(leaf.claims, signing, parent);
};

/** The signing inputs and signatures of the tokens that a verification looks at. */
const signed = [...chain, statusToken].map((token) => [token, issuer.publicKey] as const);
const bareInputs = [...signed, [proof, holder.publicKey] as const].map(([token, key]) => {
  const at = token.lastIndexOf('.');
  return {
    data: Buffer.from(token.slice(0, at)),
    signature: Buffer.from(token.slice(at + 1), 'base64url'),
    key,
  };
});
const bareVerify = (): void => {
  for (const { data, signature, key } of bareInputs)
    if (!verify('sha256', data, { key, dsaEncoding: 'ieee-p1363' }, signature))
      throw new Error('does not verify');
};
const message = Buffer.from(leaf.token.slice(0, leaf.token.lastIndexOf('.')));
const bareSign = (): void => {
  sign('sha256', message, { key: issuer.privateKey, dsaEncoding: 'ieee-p1363' });
};

await verifyOnce();
const results = [
  await compare('mint a link at depth 8', mintOnce, bareSign),
  await compare('verify a chain of depth 8', verifyOnce, bareVerify),
];
if (values.json) process.stdout.write(`${JSON.stringify({ results }, null, 2)}\n`);
else
  for (const { name, perSecond, barePerSecond, ratio } of results)
    process.stdout.write(
      `${name.padEnd(28)} ${perSecond.toFixed(0).padStart(7)} per CPU-second, bare signatures ` +
        `${barePerSecond.toFixed(0).padStart(7)}, ratio ${ratio.toFixed(2)}\n`,
    );
