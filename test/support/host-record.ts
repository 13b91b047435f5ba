import type { HostRecord } from '../../src/enrollment/index.ts';

/** A host's record as enrollment writes it, of keys that nobody has: for what only asks of its state. */
export function hostRecord(hostId: string, state: HostRecord['state']): HostRecord {
  return {
    ...{ v: 1, hostId, name: `host-${hostId.slice(0, 4)}`, labels: {}, platform: 'vm', state, generation: 1 },
    ek: { public: 'AAAA', template: 'L-1', certificate: null },
    ak: { public: 'AAAA', name: '00'.repeat(34), qualifiedName: '00'.repeat(34), parent: 'ek' },
    agent: { public: 'AAAA', keyId: hostId },
    boot: { resetCount: 1, restartCount: 0, clock: '1' },
    tpm: { manufacturer: null, model: null, version: null, firmware: '0'.repeat(16) },
    admission: { by: 'ek-list', invitedBy: null, approvedBy: null, at: 1 },
  };
}
