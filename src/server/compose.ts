import { existsSync } from 'node:fs';
import { formatVkey, leafBody, noteSigner } from '../audit/index.ts';
import type { Change, Committed, Ledger, Records, VerifierKey } from '../audit/index.ts';
import { toHex } from '../base/index.ts';
import type { Clock, Random } from '../base/index.ts';
import { fingerprint, logOrigin, readKeyRing, readSecretFile, readTrustBundles } from '../config/index.ts';
import type { KeyRing, VerifierConfig, VerifierFiles } from '../config/index.ts';
import { challengeMemory } from '../enrollment/index.ts';
import type { AgentIssuer, EnrollmentDesk } from '../enrollment/index.ts';
import type { TrustChain } from '../policy/index.ts';
import { deriveKey, groupCommit, openWorkerStore } from '../store/index.ts';
import type { StoreOperations } from '../store/index.ts';
import { parsePcrSelectionText } from '../tpm/index.ts';
import { EMPTY_TRUST_STORE, parseTrustStore, trustFor } from '../x509/index.ts';
import { HighWater, requireHighWater } from './high-water.ts';

/** Everything that routes use; made once at start. */
export interface Services {
  readonly config: VerifierConfig;
  readonly ring: KeyRing;
  /** Trust bundles, verified, the newest with this verifier's own keys; its `issuer` is `iss`, its kids are those used. */
  readonly trust: TrustChain;
  readonly clock: Clock;
  readonly random: Random;
  readonly store: StoreOperations;
  readonly records: Records;
  readonly ledger: Ledger;
  readonly epoch: string;
  readonly logKey: VerifierKey;
  readonly caFingerprint: string;
  readonly desk: EnrollmentDesk;
  readonly agentIssuer: AgentIssuer;
  /** Ends everything in order; changes under way are committed first. */
  close(): Promise<void>;
}

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
export async function compose({ config, files, clock, random, onError }: ComposeInput): Promise<Services> {
  const ring = readKeyRing(files);
  const trust = readTrustBundles(files, config, ring);
  const origin = logOrigin(config);
  const logKey = noteSigner(origin, 'note', ring.privateKey('log')).key;
  const store = await openWorkerStore({
    file: files.store,
    origin,
    logKey: new Uint8Array(ring.privateKey('log').export({ type: 'pkcs8', format: 'der' })),
    macKey: deriveKey(ring.secret('master'), 'record-mac'),
    newEpoch: toHex(random.bytes(16)),
  });
  try {
    const head = await store.head();
    await requireHighWater(files.highWater, { size: BigInt(head?.size ?? 0), tiles: store.tiles }, logKey);
    const highWater = new HighWater(files.highWater, onError);
    const ledger = groupCommit(async (changes) => noted(await store.commit(changes), highWater));
    if (head === undefined || head.size === '0') await openLog(ledger, origin);
    return assemble({
      config,
      files,
      clock,
      random,
      ring,
      trust,
      store,
      ledger,
      logKey,
      highWater,
      epoch: await store.epoch(),
    });
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** The newest checkpoint of a commit goes to the high-water file, after the commit. */
function noted(committed: Committed[], highWater: HighWater): Committed[] {
  const checkpoint = committed.findLast((one) => one.checkpoint !== undefined)?.checkpoint;
  if (checkpoint !== undefined) highWater.note(checkpoint);
  return committed;
}

/** The first leaf of every log says what it is. */
async function openLog(ledger: Ledger, origin: string): Promise<void> {
  const leaf = leafBody({ v: 1, kind: 'opening', origin, previous: null });
  const change: Change = { leaf, preconditions: [], once: [], writes: [], bodies: [] };
  await ledger.commit(change);
}

type Parts = Pick<
  Services,
  'config' | 'ring' | 'trust' | 'clock' | 'random' | 'store' | 'ledger' | 'logKey' | 'epoch'
> & {
  readonly files: VerifierFiles;
  readonly highWater: HighWater;
};

function assemble(parts: Parts): Services {
  const { config, files, ring, clock, random, store, ledger, epoch, highWater } = parts;
  const records: Records = {
    get: (ref) => store.get(ref),
    list: (kind, options) => store.list(kind, options),
  };
  const agentCa = ring.certificate('agent-ca');
  const { approvals, ekTemplate, selection } = config.enrollment;
  const roots = existsSync(files.trust)
    ? parseTrustStore(readSecretFile(files.trust, 32 * 1024 * 1024))
    : EMPTY_TRUST_STORE;
  const desk: EnrollmentDesk = {
    records,
    ledger,
    clock,
    random,
    challenges: challengeMemory(),
    rules: { epoch, approvals: approvals ? { ekTemplate } : null },
    trust: { ...trustFor(roots, 'ek'), revoked: new Set() },
    selection: parsePcrSelectionText(selection),
  };
  return {
    ...parts,
    records,
    desk,
    caFingerprint: fingerprint(ring.certificate('tls-ca').raw),
    agentIssuer: {
      certificate: agentCa.raw,
      key: ring.privateKey('agent-ca'),
      trustDomain: config.trustDomain,
    },
    close: async () => {
      await highWater.settled();
      await store.close();
    },
  };
}

/** The log's key as relying parties write it. */
export const logVkey = ({ logKey }: Pick<Services, 'logKey'>): string => formatVkey(logKey);
