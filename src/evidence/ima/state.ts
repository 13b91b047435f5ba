import { equalBytes, fromHex, jcsSha256, refuse, shape, toHex } from '../../base/index.ts';
import type { JsonObject, JsonValue, Shape } from '../../base/index.ts';
import { HASH_NAMES } from '../../tpm/index.ts';
import type { HashName } from '../../tpm/index.ts';
import type { BankMode } from './bank-chain.ts';
import type { ImaFindings, Listed } from './findings.ts';
import { MAX_LISTED } from './findings.ts';

/** One boot of one TPM: counters of a verified quote. */
export interface BootCounters {
  readonly resetCount: number;
  readonly restartCount: number;
}

/** PCR 10 of one bank after the entries of a state. */
export interface BankState {
  readonly mode: BankMode;
  readonly value: Uint8Array;
}

/** What a verification leaves for the next one of the same boot, so that only new entries have to be sent. */
export interface ImaState {
  readonly boot: BootCounters;
  /** Entries that a quote proved; the next list begins with this one. */
  readonly entries: number;
  readonly banks: ReadonlyMap<HashName, BankState>;
  /** Over all these entries. */
  readonly findings: ImaFindings;
  /** Digest of the compiled rules that made the findings. */
  readonly rules: string;
}

/** The stored form. Its member `digest` is SHA-256 over the JCS of the rest. */
export function encodeImaState(state: ImaState): JsonObject {
  const body = stateBody(state);
  return { ...body, digest: toHex(jcsSha256(body)) };
}

function stateBody(state: ImaState): JsonObject {
  return {
    version: 1,
    boot: { ...state.boot },
    entries: state.entries,
    banks: Object.fromEntries(
      [...state.banks].map(([bank, { mode, value }]) => [bank, { mode, value: toHex(value) }]),
    ),
    // Findings hold nothing but numbers, strings, lists and objects.
    findings: state.findings as unknown as JsonObject,
    rules: state.rules,
  };
}

/** SHA-256 (hex) over the JCS of a state: its member `digest` in the stored form. */
export function imaStateDigest(state: ImaState): string {
  return toHex(jcsSha256(stateBody(state)));
}

/**
 * Reads a stored state.
 * @param expected digest that was recorded elsewhere: a state that was rolled back or exchanged is noticed
 * @throws Refusal `ima-state-damaged`
 */
export function decodeImaState(value: JsonValue, expected?: string): ImaState {
  const { digest, version, ...rest } = storedShape(value, 'state', damaged);
  const body = { version, ...rest };
  const actual = jcsSha256(body as unknown as JsonObject);
  if (!equalBytes(actual, fromHex(digest)) || (expected !== undefined && expected !== digest)) {
    refuse('ima-state-damaged', 'the stored IMA state is not the one that was written', {
      expected: expected ?? digest,
      got: toHex(actual),
    });
  }
  const banks = HASH_NAMES.flatMap((bank) => {
    const stored = rest.banks[bank];
    return stored === undefined ? [] : [[bank, { mode: stored.mode, value: fromHex(stored.value) }] as const];
  });
  return {
    boot: rest.boot,
    entries: rest.entries,
    banks: new Map(banks),
    findings: rest.findings,
    rules: rest.rules,
  };
}

function damaged(path: string, want: string): never {
  refuse('ima-state-damaged', `stored IMA state: ${path} must be ${want}`, { member: path });
}

const { integer, list, literal, map, object, oneOf, text, hex32 } = shape;
const count = integer();
const words = text({ min: 0, max: 100_000 });
const mode = oneOf('hash', 'padded', 'padded-legacy');

/** A mutable copy: a resumed verification counts on. */
function listed<T>(item: Shape<T>): Shape<Listed<T>> {
  const form = object({ total: count, list: list(item, MAX_LISTED) });
  return (value, path, fail) => {
    const found = form(value, path, fail);
    return { total: found.total, list: [...found.list] };
  };
}

const fileFinding = object({ entry: count, path: words, digest: words, reason: words });
const bufferFinding = object({ entry: count, name: words, digest: words });
const measuredKey = object({ entry: count, keyring: words, digest: words, der: text({ max: 2_000_000 }) });

const findingsShape = object({
  files: count,
  known: count,
  signed: count,
  excluded: count,
  unknown: listed(fileFinding),
  denied: listed(fileFinding),
  violations: listed(object({ entry: count, claimedPath: words })),
  violationsNotTolerated: count,
  signatures: object({ checked: count, cached: count, failed: count }),
  keys: list(measuredKey, 100_000),
  unknownKeys: listed(bufferFinding),
  unknownBuffers: listed(bufferFinding),
  buffers: count,
  kexec: listed(bufferFinding),
  bootAggregates: listed(object({ entry: count, digest: words })),
  policyFiles: listed(object({ entry: count, path: words, digest: words })),
  run: object({ authorised: count, unauthorised: listed(fileFinding) }),
  measured: list(words, 1_000_000),
});

const storedShape = object({
  version: literal(1),
  boot: object({ resetCount: count, restartCount: count }),
  entries: count,
  banks: map(/^sha(?:1|256|384|512)$/, object({ mode, value: text({ pattern: /^[0-9a-f]{40,128}$/ }) }), 4),
  findings: ((value, path, fail) => structuredClone(findingsShape(value, path, fail))) as Shape<ImaFindings>,
  rules: hex32,
  digest: hex32,
});
