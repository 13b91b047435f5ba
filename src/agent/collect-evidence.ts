import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { LIMITS, Refusal, refuse, toHex } from '../base/index.ts';
import { EK_TEMPLATES, encodeSizedPublic, formatPcrSelection, parsePublic } from '../tpm/index.ts';
import type { PcrSelection } from '../tpm/index.ts';
import type { Tpm, TpmObject } from '../../native/index.ts';

/** Where the kernel shows its logs. */
export const KERNEL_LOGS = {
  eventlog: '/sys/kernel/security/tpm0/binary_bios_measurements',
  ima: '/sys/kernel/security/ima/binary_runtime_measurements',
} as const;

/** What to collect, and where it goes. */
export interface Collection {
  readonly directory: string;
  /** qualifyingData of the quote, 1 to 64 bytes. */
  readonly nonce: Uint8Array;
  readonly selection: PcrSelection;
  readonly eventlog: string;
  readonly ima: string;
  /** `sealgate.manifest.json` of this installation, if it has one. */
  readonly manifest?: string;
}

/** What was written, and which logs this host does not have. */
export interface Collected {
  readonly files: readonly string[];
  readonly missing: readonly string[];
}

/**
 * Quotes with an attestation key made for this purpose, and writes what `verify evidence` and `policy learn` read. The
 * IMA list is read after the quote, so that it covers what was quoted; the key is removed again.
 * @throws Refusal `collect-directory` when there are files already; TpmError
 */
export async function collectEvidence(tpm: Tpm, collection: Collection): Promise<Collected> {
  const { directory, nonce, selection } = collection;
  if (existsSync(path.join(directory, 'quote.msg'))) {
    refuse('collect-directory', `${directory} holds evidence already: evidence is never overwritten`);
  }
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const files: string[] = [];
  const write = (name: string, content: Uint8Array | string): void => {
    writeFileSync(path.join(directory, name), content);
    files.push(name);
  };
  const { attest, signature, akPublic, pcrs } = await quoteOnce(tpm, nonce, selection);
  write('quote.msg', attest);
  write('quote.sig', signature);
  write('ak.pub', akPublic);
  write('nonce.hex', `${toHex(nonce)}\n`);
  write('quoted_pcrs.json', `${JSON.stringify(pcrs, null, 2)}\n`);
  const missing: string[] = [];
  const log = (name: string, file: string, limit: number): void => {
    if (existsSync(file) && statSync(file).size <= limit) write(name, readFileSync(file));
    else missing.push(file);
  };
  log('eventlog.bin', collection.eventlog, LIMITS.eventLog);
  log('ima_binary.bin', collection.ima, LIMITS.imaList);
  if (collection.manifest !== undefined && existsSync(collection.manifest)) {
    write('sealgate.manifest.json', readFileSync(collection.manifest));
  }
  return { files, missing };
}

interface Quoted {
  readonly attest: Uint8Array;
  readonly signature: Uint8Array;
  /** TPM2B_PUBLIC. */
  readonly akPublic: Uint8Array;
  readonly pcrs: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** Said of one EK: the TPM may have another. */
const NO_SUCH_EK: readonly string[] = ['tpm-ek-template', 'tpm-ek-unsupported'];

/** PCR 10 moves while a host works: values are read until they are those that the quote covers. */
const TRIES = 8;

/** The first one that this TPM has: the quote is by a key that is made for it, whatever EK that one is under. */
async function anyEndorsementKey(tpm: Tpm): Promise<TpmObject> {
  let refused: unknown;
  for (const { name } of EK_TEMPLATES)
    try {
      return await tpm.endorsementKey(name);
    } catch (error) {
      if (!(error instanceof Refusal) || !NO_SUCH_EK.includes(error.check)) throw error;
      refused ??= error;
    }
  throw refused;
}

async function quoteOnce(tpm: Tpm, nonce: Uint8Array, selection: PcrSelection): Promise<Quoted> {
  const ek = await anyEndorsementKey(tpm);
  const { key } = await tpm.attestationKey({ ek });
  try {
    // The key's authValue is proved, not sent: a listener on the bus doesn't learn it.
    await using session = await tpm.startSession({ type: 'hmac', salt: ek });
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const before = await tpm.pcrRead(selection);
      const { attest, signature } = await tpm.quote({ key, auth: session, qualifyingData: nonce, selection });
      const after = await tpm.pcrRead(selection);
      const pcrs = valuesJson(after.values);
      if (JSON.stringify(pcrs) !== JSON.stringify(valuesJson(before.values))) continue;
      return { attest, signature, akPublic: encodeSizedPublic(parsePublic(key.publicBytes)), pcrs };
    }
    return refuse(
      'tpm-pcr',
      `PCRs of ${formatPcrSelection(selection)} changed during each of ${String(TRIES)} quotes`,
    );
  } finally {
    await tpm.evictControl(key);
    await ek.flush();
  }
}

/** PCR values as `{"sha256":{"0":"hex"}}`. */
export function valuesJson(
  values: ReadonlyMap<string, ReadonlyMap<number, Uint8Array>>,
): Record<string, Record<string, string>> {
  return Object.fromEntries(
    [...values].map(([bank, ofBank]) => [
      bank,
      Object.fromEntries([...ofBank].map(([index, value]) => [String(index), toHex(value)])),
    ]),
  );
}
