import { Writer } from '../src/base/index.ts';
import { HASH_NAMES, TPM_ALG, TPM_ECC_CURVE, hashId } from '../src/tpm/index.ts';
import type { Caller } from './caller.ts';
import { PROPERTY, getAlgorithms, getCurves, getPcrBanks, getProperties } from './esys-capability.ts';

/** What a TPM says about itself. */
export interface TpmProperties {
  /** Four letters, e.g. `IBM ` or `INTC`, NULs removed. */
  readonly manufacturer: string;
  readonly vendorString: string;
  /** 64 bits, hex: what TPMS_ATTEST carries as firmwareVersion. */
  readonly firmwareVersion: string;
  /** e.g. `2.0`, level 0, revision `1.59`. */
  readonly family: string;
  readonly level: number;
  readonly revision: string;
  /** Each bank, by hash name (or `0x…`): its allocated PCRs. Empty: implemented, not active. */
  readonly pcrBanks: Readonly<Record<string, readonly number[]>>;
  /** Names of the TCG Algorithm Registry; those without a name here as `0x…`. */
  readonly algorithms: readonly string[];
  readonly curves: readonly string[];
  readonly lockout: Lockout;
  readonly permanent: Permanent;
}

/** State of the dictionary attack defence (TPM 2.0 Part 1 §19.8). */
export interface Lockout {
  readonly inLockout: boolean;
  readonly failures: number;
  readonly maxFailures: number;
  /** Seconds until one failure is forgotten, and until lockout auth may be tried again. */
  readonly recoverySeconds: number;
  readonly lockoutAuthRecoverySeconds: number;
}

/** TPMA_PERMANENT (TPM 2.0 Part 2 §8.6), what is of use. */
export interface Permanent {
  readonly ownerAuthSet: boolean;
  readonly endorsementAuthSet: boolean;
  readonly lockoutAuthSet: boolean;
  readonly disableClear: boolean;
}

const IN_LOCKOUT = 1 << 9;

/** Everything {@link TpmProperties} names, read from the TPM. */
export async function readProperties(caller: Caller): Promise<TpmProperties> {
  const fixed = await getProperties(caller, PROPERTY.familyIndicator);
  const variable = await getProperties(caller, PROPERTY.permanent);
  const value = (property: number): number => fixed.get(property) ?? variable.get(property) ?? 0;
  const permanent = value(PROPERTY.permanent);
  return {
    manufacturer: text(value(PROPERTY.manufacturer)),
    vendorString: [0, 1, 2, 3]
      .map((i) => text(value(PROPERTY.vendorString1 + i)))
      .join('')
      .trim(),
    firmwareVersion: hex32(value(PROPERTY.firmwareVersion1)) + hex32(value(PROPERTY.firmwareVersion2)),
    family: text(value(PROPERTY.familyIndicator)),
    level: value(PROPERTY.level),
    revision: (value(PROPERTY.revision) / 100).toFixed(2),
    pcrBanks: await readBanks(caller),
    algorithms: (await getAlgorithms(caller)).map((id) => nameIn(TPM_ALG, id)),
    curves: (await getCurves(caller)).map((id) => nameIn(TPM_ECC_CURVE, id)),
    lockout: {
      inLockout: (permanent & IN_LOCKOUT) !== 0,
      failures: value(PROPERTY.lockoutCounter),
      maxFailures: value(PROPERTY.maxAuthFail),
      recoverySeconds: value(PROPERTY.lockoutInterval),
      lockoutAuthRecoverySeconds: value(PROPERTY.lockoutRecovery),
    },
    permanent: {
      ownerAuthSet: (permanent & 1) !== 0,
      endorsementAuthSet: (permanent & 2) !== 0,
      lockoutAuthSet: (permanent & 4) !== 0,
      disableClear: (permanent & 0x100) !== 0,
    },
  };
}

async function readBanks(caller: Caller): Promise<Record<string, readonly number[]>> {
  const banks = await getPcrBanks(caller);
  return Object.fromEntries(
    banks.map(({ algorithm, pcrs }) => [
      HASH_NAMES.find((name) => hashId(name) === algorithm) ?? hex16(algorithm),
      pcrs,
    ]),
  );
}

/** Four characters in a 32-bit property. */
function text(value: number): string {
  return Buffer.from(new Writer().u32(value).finish()).toString('latin1').replace(/\0/g, '');
}

function nameIn(table: Readonly<Record<string, number>>, id: number): string {
  return Object.keys(table).find((name) => table[name] === id) ?? hex16(id);
}

function hex16(value: number): string {
  return `0x${value.toString(16).padStart(4, '0')}`;
}

function hex32(value: number): string {
  return value.toString(16).padStart(8, '0');
}
