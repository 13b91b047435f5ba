import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { HostEvents } from '../../src/server/host-events.ts';

const HOST = 'a'.repeat(64);
const id = (n: number): string => `019a9e2c-7b1e-7c3d-8f20-${String(n).padStart(12, '0')}`;
const REASON = 'äöü'.repeat(160);

/** What as many executions as a host may have make it hear, each by a leaf of its own. */
function revokeMany(events: HostEvents, most: number, at = 0): void {
  for (let n = 0; n < most; n++)
    events.revoked({
      ...{ executionId: id(n), hostId: HOST, leaf: BigInt(at + n), expires: 4_000_000_000, reason: REASON },
      by: { kind: 'signer', id: 's'.repeat(256) },
    });
}

describe('the events of a host that was away', () => {
  it('come all at once when it is back, however many they are', async () => {
    const events = new HostEvents();
    revokeMany(events, 256);
    const stream = events.open(HOST, null, 1000n);
    const heard = text(stream);
    events.close();
    const told = (await heard).split('\n\n').filter((event) => event.includes('event: revoked'));
    expect(told).toHaveLength(256);
    expect(Buffer.byteLength(told.join(''))).toBeGreaterThan(256 * 1024);
  });

  it('pile up only so far for one that doesn’t read: it is cut off, and gets them when it comes back', async () => {
    const events = new HostEvents();
    const deaf = events.open(HOST, null, 1000n);
    revokeMany(events, 512);
    expect(deaf.destroyed).toBe(true);
    const heard = text(events.open(HOST, 99n, 1000n));
    events.close();
    expect((await heard).split('event: revoked')).toHaveLength(1 + 512 - 100);
  });
});
