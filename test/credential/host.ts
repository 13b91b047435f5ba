import { Tpm } from '../../native/index.ts';
import type { Session } from '../../native/index.ts';
import { checkSealed, sealCredentials } from '../../src/credential/index.ts';
import type { OwnTerms, SealTerms, SealedCredentials } from '../../src/credential/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import { parsePublic } from '../../src/tpm/index.ts';
import type {
  EkTemplateName,
  HashName,
  PcrSelection,
  PublicArea,
  SealedObject,
} from '../../src/tpm/index.ts';
import { systemRandom } from '../support/random.ts';
import { credentials, release } from './terms.ts';

/** What these tests seal to: the artifact's PCR and two of the boot. */
export const pcrSelection: PcrSelection = [{ bank: 'sha256', pcrs: [0, 7, 23] }];

/** What a verified quote says about a TPM at one moment. */
export type Quoted = Pick<SealTerms, 'quoted' | 'quotedPcr'>;

/** Reads counters and PCRs, as a quote over them would state them. */
export async function stateOf(tpm: Tpm): Promise<Quoted> {
  const { clockInfo } = await tpm.readClock();
  const { values } = await tpm.pcrRead(pcrSelection);
  return { quoted: clockInfo, quotedPcr: (bank: HashName, index: number) => values.get(bank)?.get(index) };
}

/** An EK, which is flushed again: its public area and name. */
export async function endorsementKey(
  tpm: Tpm,
  template: EkTemplateName,
): Promise<{ readonly area: PublicArea; readonly name: Uint8Array }> {
  await using ek = await tpm.endorsementKey(template);
  return { area: parsePublic(ek.publicBytes), name: ek.name };
}

/** A policy session as an execution starts it: salted to the EK, encrypting the first parameter. */
export async function startSession(tpm: Tpm, template: EkTemplateName): Promise<Session> {
  await using salt = await tpm.endorsementKey(template);
  return await tpm.startSession({ type: 'policy', salt });
}

/** A release as it arrives at its host. */
export interface Released {
  readonly sealed: SealedCredentials;
  /** Judged by the host: goes into the TPM. */
  readonly object: SealedObject;
  readonly own: OwnTerms;
}

/** The verifier's part for a session with this nonce, and the host's check of what it gets. */
export async function seal(
  ek: PublicArea,
  state: Quoted,
  nonceTpm: Uint8Array,
  expiration = 120,
): Promise<Released> {
  const own: OwnTerms = { binding: release, nonceTpm, ...state };
  const sealed = await sealCredentials(credentials, { ...own, ek, pcrSelection, expiration }, systemRandom);
  return { sealed, object: checkSealed(sealed, own), own };
}

/** Runs with a connection of node-tpm2, which is closed before others may talk to the emulator. */
export async function withTpm<T>(emulator: Swtpm, action: (tpm: Tpm) => Promise<T>): Promise<T> {
  await using tpm = await Tpm.open(emulator.tcti);
  return await action(tpm);
}
