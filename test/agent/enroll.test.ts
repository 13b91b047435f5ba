import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { enrollHost, openHost } from '../../src/agent/index.ts';
import { parsePcrSelectionText, verifyQuote, importAttestationKey } from '../../src/tpm/index.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import { expectRejection } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { TRUST_DOMAIN } from '../support/verifier.ts';
import { AgentWorld } from './world.ts';

const directory = temporaryDirectory();
let world: AgentWorld;
let tpm: Swtpm;
beforeAll(async () => {
  tpm = await startSwtpm({ eccP256: true });
  world = await AgentWorld.start(directory, tpm);
});
afterAll(async () => {
  await world.verifier.server.stop();
  await tpm.stop();
});

describe('a host enrolls', () => {
  it('with a join token, and its state opens', async () => {
    const state = path.join(directory, 'by-token');
    const token = await world.invite('host-a');
    const identity = await enrollHost(world.order('host-a', tpm, state, token));
    expect(identity).toMatchObject({ trustDomain: TRUST_DOMAIN, name: 'host-a', ekTemplate: 'L-1' });
    expect(statSync(state).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(state)) expect(statSync(path.join(state, name)).mode & 0o777).toBe(0o600);
    expect(readdirSync(state)).not.toContain('enrollment.json');
    await using host = await openHost({ state });
    expect(host.identity).toEqual(identity);
    expect(host.trust).toMatchObject({ version: 1, trustDomain: TRUST_DOMAIN });
    expect(host.checkpoint.read().size).toBeGreaterThan(1n);
    const selection = parsePcrSelectionText('sha256:0,10,23');
    const quote = await host.quoteNow(selection, new Uint8Array(32).fill(7));
    const verified = verifyQuote(
      { attest: quote.attest, signature: quote.signature, pcrs: quote.values },
      importAttestationKey(host.ak.publicBytes),
      { nonce: new Uint8Array(32).fill(7), selection },
    );
    expect(verified.pcrs?.get('sha256', 23)).toEqual(quote.values.get('sha256')?.get(23));
    await expectRejection('agent-enrolled', enrollHost(world.order('host-a', tpm, state, token)));
  });
});
