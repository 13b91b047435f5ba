import type { Mutation } from '../lib/mutations.ts';

const units = 'test/server/rests-on.test.ts';
const attacks = 'test/attacks/revocation.test.ts';
const between = 'test/attacks/revoked-between.test.ts';
const meanwhile = 'test/attacks/revoked-meanwhile.test.ts';
const continuous = 'test/server/continuous.test.ts';

/** What a revocation reaches, and who hears of it. */
export const mutations: readonly Mutation[] = [
  {
    name: 'status-indexes-of-an-earlier-start',
    file: 'src/server/status-lists.ts',
    find: '${String(first)}-',
    replace: '${String(Math.min(first, 0))}-',
    test: 'test/server/status-lists.test.ts',
  },
  {
    name: 'revocation-forgets-what-is-above',
    file: 'src/lifecycle/rests-on.ts',
    find: '...chain.flatMap(linkRestsOn), ...above]',
    replace: '...chain.slice(-1).flatMap(linkRestsOn)]',
    test: units,
  },
  {
    name: 'revocation-ends-one-only',
    file: 'src/server/end-dependents.ts',
    find: 'const ids = live.restingOn(subject);',
    replace: 'const ids = live.restingOn(subject).slice(0, round === 0 ? 1 : 0);',
    test: attacks,
  },
  {
    name: 'revocation-denied-change-counts',
    file: 'src/server/live-executions.ts',
    find: 'if (!ok || index === undefined) continue;',
    replace: 'if (!ok && index === undefined) continue;',
    test: units,
  },
  {
    name: 'events-of-another-host',
    file: 'src/server/routes/events.ts',
    find: 'if (hostId !== params.hostId)',
    replace: "if (params.hostId === '')",
    test: attacks,
  },
  {
    name: 'events-hidden-by-the-future',
    file: 'src/server/host-events.ts',
    find: 'lastEventId !== null && lastEventId < size ? lastEventId : -1n',
    replace: 'lastEventId ?? -1n',
    test: attacks,
  },
  {
    name: 'events-sent-before-anybody-listened-are-lost',
    file: 'src/server/host-events.ts',
    find: 'this.#revoked.set(one.hostId, [...known, one]);',
    replace: '',
    test: attacks,
  },
  {
    name: 'events-of-long-ago-are-cut-off',
    file: 'src/server/host-events.ts',
    find: '.map(revokedEvent)].join(',
    replace: '.slice(0, 200).map(revokedEvent)].join(',
    test: 'test/server/host-events.test.ts',
  },
  {
    name: 'revocation-after-a-start-forgets-what-is-above',
    file: 'src/server/live-executions.ts',
    find: 'found.sort((a, b) => a.record.depth - b.record.depth);',
    replace: '',
    test: units,
  },
  {
    name: 'renewed-under-what-was-denied',
    file: 'src/lifecycle/renew-all.ts',
    find: 'denied.add(execution.executionId);',
    replace: '',
    test: attacks,
  },
  {
    name: 'denied-execution-keeps-its-children-elsewhere',
    file: 'src/server/end-dependents.ts',
    find: "if (found?.body.state === 'revoked') await endBelow(",
    replace: "if (found?.body.state === 'ended') await endBelow(",
    test: attacks,
  },
  {
    name: 'changed-host-keeps-what-runs',
    file: 'src/server/after-attestation.ts',
    find: 'await endOnHost(hostId, check, services);',
    replace: '',
    test: continuous,
  },
  {
    name: 'attestation-has-no-end-of-room',
    file: 'src/lifecycle/renewal-room.ts',
    find: 'if (!this.#empty && names',
    replace: 'if (this.#empty && names',
    test: continuous,
  },
  {
    name: 'attestation-revocation-not-reread',
    file: 'src/lifecycle/attest.ts',
    find: '...stillNotRevoked(recording.notRevoked()),',
    replace: '',
    test: between,
  },
  {
    name: 'renewal-takes-an-execution-out-of-what-was-revoked',
    file: 'src/lifecycle/renewal.ts',
    find: 'await requireNotRevoked(restsOn(executionId, body), deps);',
    replace: '',
    test: between,
  },
  {
    name: 'origin-is-not-looked-up',
    file: 'src/lifecycle/stages/identity-stage.ts',
    find: "await requireNotRevoked([{ kind: 'initiator', id: origin }], deps);",
    replace: '',
    test: between,
  },
  {
    name: 'some-of-what-was-looked-up-is-not-looked-up-again',
    file: 'src/lifecycle/repeat/recorded-reads.ts',
    find: '.filter(([, { revoked }]) => revoked === wanted)',
    replace: ".filter(([key, { revoked }]) => revoked === wanted && !key.startsWith('signer/'))",
    test: between,
  },
  {
    name: 'gateway-asks-again-without-a-pause',
    file: 'src/gateway/gateway.ts',
    find: 'await pauseAfter(attempt, io, this.#options.random);',
    replace: '',
    test: meanwhile,
  },
  {
    name: 'pause-outlives-its-caller',
    file: 'src/gateway/run-io.ts',
    find: 'io.signal && { signal: io.signal }',
    replace: 'undefined',
    test: 'test/gateway/pause.test.ts',
  },
  {
    name: 'revoked-meanwhile-is-not-asked-again',
    file: 'src/audit/ledger.ts',
    find: "['state-moved', 'policy-moved', 'revoked-meanwhile'] as const;",
    replace: "['state-moved', 'policy-moved'] as const;",
    test: 'test/client/moved.test.ts',
  },
  {
    name: 'any-revocation-ends-who-attests',
    file: 'src/agent/attestation-loop.ts',
    find: '!FAULTS.includes(error.denial.code) && !movedMeanwhile(error);',
    replace: '!FAULTS.includes(error.denial.code);',
    test: meanwhile,
  },
  {
    name: 'any-revocation-refuses-a-run',
    file: 'src/gateway/gateway.ts',
    find: 'movedMeanwhile(error) && (initiator === null',
    replace: '!movedMeanwhile(error) && (initiator === null',
    test: meanwhile,
  },
  {
    name: 'renewals-further-above-forgotten',
    file: 'src/lifecycle/parent.ts',
    find: 'await requireNotRevoked(now, deps);',
    replace: 'void now;',
    test: 'test/attacks/revoked-between.test.ts',
  },
  {
    name: 'renewals-above-do-not-count',
    file: 'src/server/live-executions.ts',
    find: '      id = live.parent;',
    replace: '      id = null;',
    test: 'test/server/rests-on.test.ts',
  },
];
