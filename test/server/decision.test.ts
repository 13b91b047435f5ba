import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { leafHash, parseLogProof, verifyLogProof } from '../../src/audit/index.ts';
import { utf8 } from '../../src/base/index.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { DecisionHost, DecisionWorld, claimsOf } from './decision-world.ts';

let world: DecisionWorld;
let host: DecisionHost;
beforeAll(async () => {
  world = await DecisionWorld.open(path.join(temporaryDirectory(), 'v'));
  await world.publish();
  host = await DecisionHost.enroll(world, 'host-a');
}, 120_000);
afterAll(async () => {
  await host.close();
  await world.verifier.server.stop();
});

describe('an execution over HTTPS', () => {
  it('is allowed, logged with a proof, and opens on its TPM', async () => {
    const { request, answer, own, session } = await host.run();
    const leaf = new Uint8Array(Buffer.from(String(answer['leaf']), 'base64url'));
    const proof = parseLogProof(utf8(String(answer['proof'])));
    const { logKey } = world.verifier.server.services;
    expect(verifyLogProof(proof, { logKeys: [logKey], leafHash: leafHash(leaf) })).toEqual([]);
    const opened = await host.open(answer['sealed'], own, session);
    expect(opened['credentials']).toMatchObject([
      { name: 'workload', kind: 'x509-svid', id: 'spiffe://example.org/vm/report' },
    ]);
    const claims = claimsOf(String(answer['authorization']));
    expect(claims.attr).toMatchObject({ owner: 'team-a', purpose: 'monthly figures' });
    const shown = await world.operate('GET', `/v1/executions/${request.executionId}`);
    expect(shown.json).toMatchObject({ state: 'issued', hostId: host.hostId, artifact: { name: 'report' } });
  });
});
