import type { KeyObject } from 'node:crypto';
import { existsSync } from 'node:fs';
import { formatVkey, leafBody } from '../audit/index.ts';
import type { Change, Committed, Ledger, Records } from '../audit/index.ts';
import { toHex } from '../base/index.ts';
import type { Clock, Random } from '../base/index.ts';
import {
  fingerprint,
  logKeysOf,
  logOrigin,
  readKeyRing,
  readSecretFile,
  readTrustBundles,
} from '../config/index.ts';
import type { VerifierConfig, VerifierFiles } from '../config/index.ts';
import { challengeMemory } from '../enrollment/index.ts';
import type { AgentIssuer, EnrollmentDesk } from '../enrollment/index.ts';
import { groupCommit } from '../store/group-commit.ts';
import { deriveKey } from '../store/record-mac.ts';
import type { StoreOperations } from '../store/index.ts';
// Not by the folder's index: what speaks SQL is loaded by the store's own thread.
import { openWorkerStore } from '../store/worker-store.ts';
import { parsePcrSelectionText } from '../tpm/index.ts';
import { EMPTY_TRUST_STORE, parseTrustStore, trustFor } from '../x509/index.ts';
import { Chores } from './chores.ts';
import { decisionDeps } from './decision-deps.ts';
import { DenialTally } from './denial-tally.ts';
import { endLeftovers } from './end-dependents.ts';
import { governance } from './governance.ts';
import { HighWater, requireHighWater } from './high-water.ts';
import { HostEvents } from './host-events.ts';
import { ImaVerifier } from './ima/ima-verifier.ts';
import { LiveExecutions } from './live-executions.ts';
import { LogClock } from './log-clock.ts';
import { StagedDecisions } from './policy/staged-decisions.ts';
import { rememberRecords } from './remembered-records.ts';
import type { Services } from './services.ts';
import { requireNamedLog } from './succession.ts';
import { StatusLists } from './status-lists.ts';
import { ledgerForHosts, openWitnessDesk, openWitnessing } from './witness/witnesses.ts';
import type { Witnessing } from './witness/witnessing.ts';

/** What the composition root is given. */
export interface ComposeInput {
  readonly config: VerifierConfig;
  readonly files: VerifierFiles;
  readonly clock: Clock;
  readonly random: Random;
  /** Told of what goes wrong without a request. */
  readonly onError: (error: unknown) => void;
}

/**
 * The composition root: reads the keys, opens the store in its thread, compares its log with the high-water file, and
 * puts the parts together.
 * @throws Refusal when a key, the store or its log is not what it should be
 */
export async function compose({
  config,
  files,
  clock: wall,
  random,
  onError,
}: ComposeInput): Promise<Services> {
  const clock = new LogClock(wall);
  const ring = readKeyRing(files);
  const trust = readTrustBundles(files, config, ring);
  const origin = logOrigin(config);
  const logKeys = logKeysOf(ring, config);
  const [logKey] = logKeys;
  const store = rememberRecords(await openStore({ files, ring, random }, origin));
  try {
    const head = await store.head();
    await requireHighWater(files.highWater, { size: BigInt(head?.size ?? 0), tiles: store.tiles }, logKeys);
    requireNamedLog(trust.current, (await store.leaves(0, 1))[0]);
    const highWater = new HighWater(files.highWater, onError);
    await clock.load(store);
    const events = new HostEvents();
    const live = new LiveExecutions(recordsOf(store), events);
    const statusLists = await StatusLists.of(ring, config.url, { records: recordsOf(store), clock });
    const witnessParts = { config, files, ring, store, clock, onError };
    const witnessing = openWitnessing(witnessParts, trust.current.witnesses);
    const ledger = groupCommit(async (changes) => {
      const committed = await followed(store, changes, { live, statusLists });
      clock.committed(committed);
      return noted(committed, highWater, witnessing);
    }, onError);
    if (head === undefined || head.size === '0') await openLog(ledger, origin);
    await noteStoredHead(store, highWater, witnessing);
    return await assemble({
      config,
      files,
      clock,
      random,
      ring,
      trust,
      store,
      ledger,
      witnessing,
      witness: openWitnessDesk(witnessParts),
      logKey,
      highWater,
      epoch: await store.epoch(),
      events,
      live,
      statusLists,
      onError,
    });
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** The store in its thread, with the keys that its log and its rows need. */
async function openStore(
  { files, ring, random }: Pick<Parts, 'files' | 'ring' | 'random'>,
  origin: string,
): Promise<StoreOperations> {
  const next = ring.successor('log');
  return await openWorkerStore({
    file: files.store,
    origin,
    logKey: pkcs8(ring.privateKey('log')),
    ...(next === undefined ? {} : { nextLogKey: pkcs8(next) }),
    macKey: deriveKey(ring.secret('master'), 'record-mac'),
    newEpoch: toHex(random.bytes(16)),
  });
}

/** Commits, and has those know of it who follow what runs: before anybody hears of it, who then looks finds everything. */
async function followed(
  store: StoreOperations,
  changes: readonly Change[],
  { live, statusLists }: Pick<Services, 'live' | 'statusLists'>,
): Promise<Committed[]> {
  try {
    const committed = await store.commit(changes);
    live.committed(changes, committed);
    statusLists.committed(changes, committed);
    return committed;
  } catch (error) {
    // It may be durable all the same: they have to look.
    live.unsure();
    statusLists.unsure();
    throw error;
  }
}

/** The newest checkpoint of a commit goes to the high-water file and to the witnesses, after the commit. */
function noted(
  committed: Committed[],
  highWater: HighWater,
  witnessing: Witnessing | undefined,
): Committed[] {
  const checkpoint = committed.findLast((one) => one.checkpoint !== undefined)?.checkpoint;
  if (checkpoint !== undefined) {
    highWater.note(checkpoint);
    witnessing?.note(checkpoint);
  }
  return committed;
}

/**
 * The head as it is stored, signed by the keys of now: remembered outside, and shown to the witnesses before anything is
 * answered. @throws Refusal `log-behind` when a witness has seen more
 */
async function noteStoredHead(
  store: StoreOperations,
  highWater: HighWater,
  witnessing: Witnessing | undefined,
): Promise<void> {
  const head = await store.head();
  if (head === undefined) return;
  highWater.note(head.checkpoint);
  // Whoever waited for the start may look at the file: a key rotation that goes on, the next start.
  await highWater.settled();
  await witnessing?.start(head.checkpoint, await store.cosigned());
}

const pkcs8 = (key: KeyObject): Uint8Array => new Uint8Array(key.export({ type: 'pkcs8', format: 'der' }));

/** The first leaf of every log says what it is. */
async function openLog(ledger: Ledger, origin: string): Promise<void> {
  const leaf = leafBody({ v: 1, kind: 'opening', origin, previous: null });
  const change: Change = { leaf, preconditions: [], once: [], writes: [], bodies: [] };
  await ledger.commit(change);
}

type Parts = Pick<
  Services,
  | 'config'
  | 'ring'
  | 'trust'
  | 'random'
  | 'store'
  | 'ledger'
  | 'logKey'
  | 'epoch'
  | 'events'
  | 'live'
  | 'statusLists'
  | 'witnessing'
  | 'witness'
> & {
  readonly clock: LogClock;
  readonly files: VerifierFiles;
  readonly highWater: HighWater;
  readonly onError: (error: unknown) => void;
};

async function assemble(parts: Parts): Promise<Services> {
  const { ring, clock, store, ledger, highWater, live, events } = parts;
  const records = recordsOf(store);
  const agentIssuer = agentIssuerOf(parts);
  const revokedEkCas = await readRevokedEkCas(records);
  const governed = governance({ ...parts, records });
  const { policies: policy, secrets } = governed;
  const hostLedger = ledgerForHosts(ledger, parts.witnessing, store.tiles, {
    ofTrust: parts.trust.current.witnesses,
    policies: policy,
  });
  await live.load(clock.now());
  const denials = new DenialTally(clock.now());
  const ima = new ImaVerifier();
  const decisions = await decisionDeps({
    ...parts,
    verifyIma: (list, question) => ima.verify(list, question),
    records,
    agentIssuer,
    policy,
    secrets,
    trust: {
      digest: parts.trust.current.digest,
      issuer: parts.trust.current.issuer,
      authorizations: parts.trust.current.keys.authorization,
    },
  });
  const { stagedPolicies: policies } = governed;
  const staged = new StagedDecisions({ records, decisions, policies, onError: parts.onError });
  const chores = startChores({ ...parts, records, decisions }, denials);
  const desk = deskOf(parts, { records, ledger: hostLedger }, revokedEkCas);
  return {
    ...parts,
    records,
    hostLedger,
    desk,
    caFingerprint: fingerprint(ring.certificate('tls-ca').raw),
    agentIssuer,
    governance: governed,
    policy,
    secrets,
    decisions,
    staged,
    denials,
    revokedEkCas,
    close: async () => {
      events.close();
      await chores.stop();
      await parts.witnessing?.stop();
      await staged.close();
      await ima.close();
      // Best effort: a store that can't write must not keep the process from ending.
      await denials.write(ledger, clock.now()).catch(parts.onError);
      await highWater.settled();
      await store.close();
    },
  };
}

/** Where hosts are enrolled, with the roots that this verifier was told to trust. */
function deskOf(
  { config, files, clock, random, epoch }: Parts,
  { records, ledger }: Pick<Services, 'records' | 'ledger'>,
  revoked: Set<string>,
): EnrollmentDesk {
  const { approvals, ekTemplate, selection } = config.enrollment;
  const roots = existsSync(files.trust)
    ? parseTrustStore(readSecretFile(files.trust, 32 * 1024 * 1024))
    : EMPTY_TRUST_STORE;
  return {
    records,
    ledger,
    clock,
    random,
    challenges: challengeMemory(),
    rules: { epoch, approvals: approvals ? { ekTemplate } : null },
    trust: { ...trustFor(roots, 'ek'), revoked },
    selection: parsePcrSelectionText(selection),
  };
}

function agentIssuerOf({ ring, config }: Parts): AgentIssuer {
  const [certificate, key] = [ring.certificate('agent-ca').raw, ring.privateKey('agent-ca')];
  return { certificate, key, trustDomain: config.trustDomain };
}

/** What is done as time passes. */
function startChores(parts: Parts & Pick<Services, 'records' | 'decisions'>, denials: DenialTally): Chores {
  const { clock, ledger, store, onError, live, events } = parts;
  let leftovers = true;
  // A chore of its own: while it can't be done, time passes for the others all the same.
  const endOnce = async (): Promise<void> => {
    // What was missed may be a revocation, and nobody has ended what rests on it.
    if (await live.catchUp(clock.now())) leftovers = true;
    if (leftovers) await endLeftovers(parts);
    leftovers = false;
  };
  const sweep = async (): Promise<void> => {
    await live.sweep(clock.now(), ledger);
    events.forget(clock.now());
  };
  return new Chores(
    [
      { everyMs: MINUTE_MS, run: () => denials.write(ledger, clock.now()) },
      { everyMs: SWEEP_MS, run: endOnce },
      { everyMs: SWEEP_MS, run: sweep },
      // Only what had ended by the log's own time: a wall clock that is set back must not bring a nonce to life.
      { everyMs: HOUR_MS, run: () => store.forget(clock.newestLeaf) },
    ],
    onError,
  );
}

const recordsOf = (store: StoreOperations): Records => ({
  get: (ref) => store.get(ref),
  list: (kind, options) => store.list(kind, options),
});

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const SWEEP_MS = 15_000;

/** EK authorities that operators revoked. */
async function readRevokedEkCas(records: Records): Promise<Set<string>> {
  const found = new Set<string>();
  let after = EK_CA;
  for (;;) {
    const rows = await records.list('revoked', { after, limit: 1000 });
    for (const { id } of rows) if (id.startsWith(EK_CA)) found.add(id.slice(EK_CA.length));
    const last = rows.at(-1)?.id;
    if (last?.startsWith(EK_CA) !== true) return found;
    after = last;
  }
}

const EK_CA = 'ek-ca/';

/** The log's key as relying parties write it. */
export const logVkey = ({ logKey }: Pick<Services, 'logKey'>): string => formatVkey(logKey);
