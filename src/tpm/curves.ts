import type { Reader } from '../base/index.ts';
import { TPM_ECC_CURVE } from './constants.ts';

/** The NIST prime curves by their JWK names. P-192 and P-224 can be read; no key on them is ever accepted. */
export type CurveName = 'P-192' | 'P-224' | 'P-256' | 'P-384' | 'P-521';

interface CurveFacts {
  /** TPM_ECC_CURVE. */
  readonly id: number;
  /** Field and coordinate size in bytes. */
  readonly size: number;
}

const CURVES: Readonly<Record<CurveName, CurveFacts>> = {
  'P-192': { id: TPM_ECC_CURVE.NIST_P192, size: 24 },
  'P-224': { id: TPM_ECC_CURVE.NIST_P224, size: 28 },
  'P-256': { id: TPM_ECC_CURVE.NIST_P256, size: 32 },
  'P-384': { id: TPM_ECC_CURVE.NIST_P384, size: 48 },
  'P-521': { id: TPM_ECC_CURVE.NIST_P521, size: 66 },
};

const NAMES = Object.keys(CURVES) as CurveName[]; // the keys of the constant above, by construction

/** Reads a TPMI_ECC_CURVE. @throws Refusal `malformed` with the offset for any curve that isn't known */
export function readCurve(reader: Reader): CurveName {
  const id = reader.u16();
  const name = NAMES.find((candidate) => CURVES[candidate].id === id);
  return name ?? reader.malformed(`unknown curve 0x${id.toString(16)}`);
}

/** The TPM_ECC_CURVE of a curve. */
export function curveId(name: CurveName): number {
  return CURVES[name].id;
}

/** Size of the field, and so of each coordinate, in bytes. */
export function curveSize(name: CurveName): number {
  return CURVES[name].size;
}
