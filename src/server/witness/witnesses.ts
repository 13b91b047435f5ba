import { readFileSync, statSync } from 'node:fs';
import { noteSigner, parseQuorumPolicy } from '../../audit/index.ts';
import type { Change, Ledger, QuorumPolicy, TileReader } from '../../audit/index.ts';
import { isJsonObject, refuse } from '../../base/index.ts';
import type { Clock } from '../../base/index.ts';
import { askWitness } from '../../client/ask-witness.ts';
import { witnessName } from '../../config/index.ts';
import type { KeyRing, VerifierConfig, VerifierFiles } from '../../config/index.ts';
import { parsePem, toPem } from '../../x509/index.ts';
import type { StoreOperations } from '../../store/index.ts';
import { demandedQuorum } from '../../policy/index.ts';
import type { ActivePolicies } from '../policy/active-policy.ts';
import { WitnessDesk } from './witness-desk.ts';
import { Witnessing } from './witnessing.ts';
import { witnessedLedger } from './witnessed-ledger.ts';

/** What both sides of witnessing are put together from. */
export interface WitnessesParts {
  readonly config: VerifierConfig;
  readonly files: VerifierFiles;
  readonly ring: KeyRing;
  readonly store: StoreOperations;
  readonly clock: Clock;
  readonly onError: (error: unknown) => void;
}

const MAX_FILE = 256 * 1024;

/**
 * This log's witnesses, by the configured policy or else by the trust bundle's; undefined when none has a URL.
 * @throws Refusal `malformed` naming the policy's line
 */
export function openWitnessing(parts: WitnessesParts, ofTrust: QuorumPolicy | null): Witnessing | undefined {
  const { config, files, store, clock, onError } = parts;
  const policy = files.witnessPolicy === undefined ? ofTrust : readPolicy(files.witnessPolicy);
  if (policy?.witnesses.some(({ url }) => url !== undefined) !== true) return undefined;
  const ca = files.witnessCa === undefined ? [] : readAuthorities(files.witnessCa);
  const timeoutMs = config.witnessing.requestSeconds * 1000;
  return new Witnessing({
    ...{ policy, tiles: store.tiles, clock, onError },
    ask: (url, body) => askWitness({ url, ca, timeoutMs }, body),
    keep: (size, checkpoint) => store.keepCosigned(size, checkpoint),
    waitMs: config.witnessing.waitSeconds * 1000,
  });
}

/** This verifier as a witness, of the logs that it is told to witness. @throws Refusal `malformed` */
export function openWitnessDesk({ config, files, ring, store, clock }: WitnessesParts): WitnessDesk {
  const logs = files.witnessedLogs === undefined ? [] : readPolicy(files.witnessedLogs).logs;
  const signer = noteSigner(witnessName(config), 'cosignature', ring.privateKey('witness'));
  return new WitnessDesk({ signer, logs: logs.map(({ key }) => key), store, clock });
}

/** What says which quorum an answer needs. */
export interface DemandedBy {
  readonly ofTrust: QuorumPolicy | null;
  readonly policies: ActivePolicies;
}

/** The ledger for what hosts get proofs of: its answers wait for the quorums that they will ask for. */
export function ledgerForHosts(
  ledger: Ledger,
  witnessing: Witnessing | undefined,
  tiles: TileReader,
  demanded: DemandedBy,
): Ledger {
  return witnessedLedger({ ledger, witnessing, tiles, quorums: (change) => quorumsOf(change, demanded) });
}

/** The trust bundle's quorum holds for everything, the policy's for the actions that it names. */
async function quorumsOf(
  { leaf }: Change,
  { ofTrust, policies }: DemandedBy,
): Promise<readonly QuorumPolicy[]> {
  const always = ofTrust === null ? [] : [ofTrust];
  const digest = isJsonObject(leaf['policy']) ? leaf['policy']['digest'] : undefined;
  if (leaf['kind'] !== 'decision' || typeof digest !== 'string') return always;
  const { bundle } = await policies.load(digest);
  const artifact = isJsonObject(leaf['artifact']) ? leaf['artifact']['name'] : undefined;
  const demanded = demandedQuorum(bundle.witnessed, {
    action: leaf['purpose'] === 'attestation' ? 'attestation' : 'execution',
    artifact: typeof artifact === 'string' ? artifact : null,
  });
  return demanded === null ? always : [...always, demanded];
}

function readPolicy(file: string): QuorumPolicy {
  return parseQuorumPolicy(readFile(file));
}

function readAuthorities(file: string): readonly string[] {
  return parsePem(readFile(file)).map((der) => toPem(der));
}

function readFile(file: string): Uint8Array {
  try {
    if (statSync(file).size <= MAX_FILE) return new Uint8Array(readFileSync(file));
  } catch {
    // Refused below, by the file's name.
  }
  return refuse('config-form', 'a file of the configuration is missing or too large', { file });
}
