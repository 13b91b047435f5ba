import { PURPOSE_MEMBER } from '../../../src/authorization/index.ts';
import type { Case } from './case.ts';
import {
  NONCE,
  REQUEST_DIGEST,
  chainOf,
  issuer,
  listed,
  proof,
  statusIndex,
  statusKey,
  statusList,
  worker,
} from './world.ts';
import { HOLDER_CASES } from './holder-cases.ts';
import { LINK_CASES } from './link-cases.ts';
import { OK_CASES } from './ok-cases.ts';
import { RIGHTS_CASES } from './rights-cases.ts';
import { SIGNATURE_CASES } from './signature-cases.ts';
import { STATUS_CASES } from './status-cases.ts';
import { USE_CASES } from './use-cases.ts';

/** Every vector of `test/data/authorization`, in the order of the checks. */
export const vectorCases = (): readonly Case[] =>
  [OK_CASES, SIGNATURE_CASES, LINK_CASES, RIGHTS_CASES, HOLDER_CASES, STATUS_CASES, USE_CASES].flatMap(
    (make) => make(),
  );

/** The files by name: JSON with its members in one order. */
export function vectorFiles(): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const [outcome, name, description, vector] of vectorCases()) {
    const file = `${outcome.replaceAll('_', '-')}--${name}.json`;
    if (files.has(file)) throw new Error(`two vectors are called ${file}`);
    files.set(file, `${JSON.stringify({ name, description, outcome, ...vector }, null, 1)}\n`);
  }
  return files;
}

/** The files of docs/AUTHORIZATION.md's worked example: a chain of three, and one use of it. */
export function exampleFiles(): ReadonlyMap<string, string> {
  const key = worker(2);
  const jwks = {
    keys: [
      { ...listed(issuer), use: 'sig', [PURPOSE_MEMBER]: 'authorization' },
      { ...listed(statusKey), use: 'sig', [PURPOSE_MEMBER]: 'status' },
    ],
  };
  return new Map([
    ['chain.jwt', `${chainOf(3).join('\n')}\n`],
    ['jwks.json', `${JSON.stringify(jwks, null, 1)}\n`],
    ['status.jwt', `${statusList()}\n`],
    ['status-revoked.jwt', `${statusList({}, { set: [statusIndex(1)] })}\n`],
    ['proof.jwt', `${proof(key)}\n`],
    ['holder.jwk.json', `${JSON.stringify(key.jwk)}\n`],
    ['nonce.txt', `${NONCE}\n`],
    ['request-digest.txt', `${REQUEST_DIGEST}\n`],
  ]);
}
