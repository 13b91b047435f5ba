import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseLeaf } from '../../src/audit/index.ts';
import { issueOperator, readCertificate } from '../../src/config/index.ts';
import type { Role } from '../../src/config/index.ts';
import { toPem } from '../../src/x509/index.ts';
import { systemRandom } from '../support/random.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { TRUST_DOMAIN, install, operatorTls, startVerifier } from '../support/verifier.ts';
import type { TestVerifier } from '../support/verifier.ts';

const directory = path.join(temporaryDirectory(), 'v');
let verifier: TestVerifier;

beforeAll(async () => {
  install(directory);
  verifier = await startVerifier(directory);
});
afterAll(async () => {
  await verifier.server.stop();
});

function operator(name: string, roles: readonly Role[]) {
  const issued = issueOperator(
    { trustDomain: TRUST_DOMAIN, name, roles },
    {
      certificate: readCertificate(path.join(directory, 'certificates/operator-ca.pem')).raw,
      key: createPrivateKey(readFileSync(path.join(directory, 'offline/operator-ca.key'))),
    },
    Date.now(),
    systemRandom,
  );
  return { cert: toPem(issued.certificate), key: issued.keyPem };
}

const leafAt = async (index: number) => {
  const [leaf] = await verifier.server.services.store.leaves(index, 1);
  return parseLeaf(leaf ?? new Uint8Array());
};
const size = async () => Number((await verifier.server.services.store.head())?.size);

describe('refusals of callers who are known', () => {
  it('become leaves with the caller, the route and the denial', async () => {
    const auditor = operator('auditor', ['audit']);
    const body = { reason: 'x' };
    const url = `/v1/hosts/${'a'.repeat(64)}/revoke`;
    const answer = await verifier.call({ method: 'POST', url, body, tls: auditor });
    expect([answer.status, answer.json['code']]).toEqual([403, 'not-permitted']);
    const leaf = await leafAt(Number(answer.json['auditIndex']));
    expect(leaf).toMatchObject({
      kind: 'refusal',
      action: 'POST /v1/hosts/:hostId/revoke',
      denial: { check: 'not-permitted' },
      by: { kind: 'operator' },
    });
  });

  it('of others, and what is no denial, leave nothing in the log', async () => {
    const before = await size();
    const url = `/v1/hosts/${'a'.repeat(64)}/revoke`;
    const stranger = await verifier.call({ method: 'POST', url, body: { reason: 'x' } });
    expect([stranger.status, stranger.json['auditIndex']]).toEqual([401, undefined]);
    const missing = await verifier.call({
      url: `/v1/hosts/${'a'.repeat(64)}`,
      tls: operatorTls(directory),
    });
    expect([missing.status, missing.json['auditIndex']]).toEqual([404, undefined]);
    expect(await size()).toBe(before);
  });

  it('are bounded for each caller, and refused all the same', async () => {
    const busy = operator('busy', ['audit']);
    const before = await size();
    const url = `/v1/hosts/${'a'.repeat(64)}/revoke`;
    for (let i = 0; i < 70; i++) {
      const answer = await verifier.call({ method: 'POST', url, body: { reason: 'x' }, tls: busy });
      expect(answer.status).toBe(403);
    }
    // Two minutes at most, if the clock passed one meanwhile.
    expect((await size()) - before).toBeLessThanOrEqual(120);
    expect((await size()) - before).toBeGreaterThanOrEqual(60);
  });
});
