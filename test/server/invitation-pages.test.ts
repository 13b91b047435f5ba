import { createHash } from 'node:crypto';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { invite, listEk } from '../../src/enrollment/index.ts';
import type { InvitationTerms } from '../../src/enrollment/index.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { install, operatorTls, startVerifier } from '../support/verifier.ts';
import type { TestVerifier } from '../support/verifier.ts';

const directory = path.join(temporaryDirectory(), 'v');
let verifier: TestVerifier;
let admin: ReturnType<typeof operatorTls>;

beforeAll(async () => {
  install(directory);
  verifier = await startVerifier(directory);
  admin = operatorTls(directory);
});
afterAll(async () => {
  await verifier.server.stop();
});

describe('the list of invitations, in pages', () => {
  it('has each of them once, of either kind', async () => {
    const listed = async () => {
      const [ids, sizes]: [string[], number[]] = [[], []];
      for (let next: string | null = ''; next !== null;) {
        const query: string = next === '' ? '' : `?after=${encodeURIComponent(next)}`;
        const { json } = await verifier.call({ url: `/v1/invitations${query}`, tls: admin });
        const page = json['invitations'] as { readonly id: string }[];
        ids.push(...page.map(({ id }) => id));
        sizes.push(page.length);
        next = json['next'] as string | null;
      }
      return { ids, sizes };
    };
    const before = (await listed()).ids.length;
    const { ledger, random, epoch } = verifier.server.services;
    const by = { certificate: 'ab'.repeat(10), name: 'admin' };
    const terms: InvitationTerms = {
      ...{ name: 'many', labels: {}, platform: 'lab', ekTemplate: 'L-1', ek: null, host: null },
      ...{ restartCounters: false, needsApproval: false },
    };
    const context = { by, now: Date.now(), epoch };
    for (let i = 0; i < 150; i++) {
      const ek = createHash('sha256').update(String(i)).digest('hex');
      await Promise.all([
        ledger.commit(listEk({ ...terms, ek }, context)),
        ledger.commit(invite(terms, 60_000, context, random).change),
      ]);
    }
    const { ids, sizes } = await listed();
    expect(ids).toHaveLength(before + 300);
    expect(new Set(ids).size).toBe(ids.length);
    expect(sizes).toEqual([200, before + 100]);
    for (const after of ['host/ab', 'join-token', 'join-token/', 'ek-list/..', ''])
      expect((await verifier.call({ url: `/v1/invitations?after=${after}`, tls: admin })).status).toBe(400);
  });
});
