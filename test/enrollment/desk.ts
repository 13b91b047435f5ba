import { generateKeyPairSync } from 'node:crypto';
import { noteSigner } from '../../src/audit/index.ts';
import type { VerifierKey } from '../../src/audit/index.ts';
import type { Change, Committed, StoredRecord } from '../../src/audit/ledger.ts';
import type { JsonObject } from '../../src/base/index.ts';
import {
  RECORD,
  activateEnrollment,
  beginEnrollment,
  challengeMemory,
  encodeOffer,
  invite,
  listEk,
  readHost,
} from '../../src/enrollment/index.ts';
import type {
  Enrolled,
  EnrollmentDesk,
  InvitationTerms,
  NotEnrolled,
  Operator,
  StoredHost,
} from '../../src/enrollment/index.ts';
import { groupCommit, openSqlite, openStore } from '../../src/store/index.ts';
import type { StoreOperations } from '../../src/store/index.ts';
import type { PcrSelection } from '../../src/tpm/index.ts';
import { parseCertificate } from '../../src/x509/index.ts';
import { systemRandom } from '../support/random.ts';
import type { SoftwareHost } from './software-host.ts';

export const NOW = 1_800_000_000_000;
export const alice: Operator = { certificate: 'a11ce0', name: 'alice' };
export const bob: Operator = { certificate: 'b0b0', name: 'bob' };
export const SELECTION: PcrSelection = [{ bank: 'sha256', pcrs: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14] }];

/** An invitation for `host-a`, bound to nothing, which lets an EK of template L-2 in. */
export const terms: InvitationTerms = {
  name: 'host-a',
  labels: { role: 'build' },
  platform: 'server-2024',
  ekTemplate: 'L-2',
  ek: null,
  host: null,
  restartCounters: false,
  needsApproval: false,
};

/** A verifier's enrollment over a store of its own in memory, with a clock that tests move. */
export class TestDesk {
  readonly desk: EnrollmentDesk;
  readonly store: StoreOperations;
  readonly logKey: VerifierKey;
  readonly #clock: { time: number };

  private constructor(
    store: StoreOperations,
    desk: EnrollmentDesk,
    logKey: VerifierKey,
    clock: { time: number },
  ) {
    this.logKey = logKey;
    this.store = store;
    this.desk = desk;
    this.#clock = clock;
  }

  static async open(
    roots: readonly Uint8Array[],
    changes: Partial<EnrollmentDesk> = {},
    time = NOW,
  ): Promise<TestDesk> {
    const at = { time };
    const clock = { now: () => at.time };
    const signer = noteSigner('log.example.org', 'note', generateKeyPairSync('ed25519').privateKey);
    const keys = { signer, macKey: new Uint8Array(32).fill(7) };
    const store = await openStore(openSqlite(':memory:'), keys, clock, 'epoch-1');
    const ledger = groupCommit((batch) => store.commit(batch));
    const trust = { anchors: roots.map((root) => parseCertificate(root)), pool: [], revoked: new Set('') };
    const rules = { approvals: null, epoch: 'epoch-1' };
    const given = { records: store, ledger, clock, random: systemRandom, trust, rules, selection: SELECTION };
    return new TestDesk(store, { ...given, challenges: challengeMemory(), ...changes }, signer.key, at);
  }

  get now(): number {
    return this.#clock.time;
  }

  wait(ms: number): void {
    this.#clock.time += ms;
  }

  commit(change: Change): Promise<Committed> {
    return this.desk.ledger.commit(change);
  }

  /** Invites and gives the token. */
  async invite(changes: Partial<InvitationTerms> = {}, by = alice, ttl = 600_000): Promise<string> {
    const context = { by, now: this.now, epoch: 'epoch-1' };
    const { token, change } = invite({ ...terms, ...changes }, ttl, context, systemRandom);
    const { denied } = await this.commit(change);
    if (denied !== undefined) throw new Error(denied.check);
    return token;
  }

  async list(ek: string, changes: Partial<InvitationTerms> = {}): Promise<void> {
    await this.commit(listEk({ ...terms, ek, ...changes }, { by: alice, now: this.now, epoch: 'epoch-1' }));
  }

  /** The first request's answer as it goes over the wire. */
  async begin(request: JsonObject): Promise<JsonObject> {
    return encodeOffer(await beginEnrollment(this.desk, request));
  }

  activate(offer: JsonObject, answer: JsonObject): Promise<Enrolled | NotEnrolled> {
    return activateEnrollment(this.desk, text(offer, 'enrollmentId'), answer);
  }

  /** Both requests of an honest host. */
  async enroll(host: SoftwareHost, request: JsonObject): Promise<Enrolled | NotEnrolled> {
    const offer = await this.begin(request);
    return this.activate(offer, host.answer(offer, request));
  }

  /** {@link enroll} that has to succeed; gives the host as it is stored. */
  async enrolled(host: SoftwareHost, request: JsonObject): Promise<StoredHost> {
    const { committed } = await this.enroll(host, request);
    if (committed?.ok !== true) throw new Error(committed?.denied?.check);
    return this.host(host.id);
  }

  async host(hostId: string): Promise<StoredHost> {
    const stored = await readHost(this.store, hostId);
    if (stored === undefined) throw new Error('no such host');
    return stored;
  }

  /** The stored row, MAC checked: to see that nothing touched it. */
  async row(hostId: string): Promise<StoredRecord | undefined> {
    return this.store.get(RECORD.host(hostId));
  }

  /** The log's leaves as JSON. */
  async leaves(): Promise<JsonObject[]> {
    const leaves = await this.store.leaves(0, 1000);
    return leaves.map((leaf) => JSON.parse(Buffer.from(leaf).toString()) as JsonObject);
  }
}

/** A member that has to be text. */
export function text(body: JsonObject, member: string): string {
  const value = body[member];
  if (typeof value !== 'string') throw new Error(`${member} is no text`);
  return value;
}
