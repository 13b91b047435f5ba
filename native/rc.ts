import { LIBRARIES, loadLibrary } from './library.ts';
import { copyText } from './memory.ts';
import { BASE, FORMAT_ONE, FORMAT_ZERO, WARNING } from './rc-names.ts';

/** Who made a response code. */
export type RcLayer = 'tpm' | 'fapi' | 'esys' | 'sys' | 'mu' | 'tcti' | 'resmgr' | 'unknown';

/** A TSS2_RC taken apart (TPM 2.0 Part 2 §6.6.2: format zero and one). */
export interface ResponseCode {
  readonly code: number;
  readonly layer: RcLayer;
  /** The specification's name, e.g. `TPM_RC_AUTH_FAIL` or `TSS2_TCTI_RC_IO_ERROR`. */
  readonly name: string;
  /** Which of the command's handles, sessions or parameters the TPM complains about: 1, 2, … */
  readonly handle?: number;
  readonly session?: number;
  readonly parameter?: number;
}

const LAYERS: Readonly<Record<number, RcLayer>> = {
  0: 'tpm',
  6: 'fapi',
  7: 'esys',
  8: 'sys',
  9: 'mu',
  10: 'tcti',
  11: 'resmgr',
  12: 'tpm', // a TPM's own code, passed on by a resource manager
};

const FORMAT_ONE_BIT = 0x080;
const PARAMETER_BIT = 0x040;
const SESSION_BIT = 0x800;

/** Takes a response code apart. */
export function parseRc(code: number): ResponseCode {
  const layer = LAYERS[(code >>> 16) & 0xff] ?? 'unknown';
  const low = code & 0xffff;
  if (layer !== 'tpm') {
    const base = BASE[low];
    return { code, layer, name: base === undefined ? hex(code) : `TSS2_${layer.toUpperCase()}_RC_${base}` };
  }
  if ((low & FORMAT_ONE_BIT) === 0) {
    const names = (low & SESSION_BIT) === 0 ? FORMAT_ZERO : WARNING;
    return { code, layer, name: tpmName(names[low & 0x7f], code) };
  }
  const name = tpmName(FORMAT_ONE[low & 0x3f], code);
  const number = (low >>> 8) & 0xf;
  if ((low & PARAMETER_BIT) !== 0) return { code, layer, name, parameter: number };
  return number >= 8 ? { code, layer, name, session: number - 8 } : { code, layer, name, handle: number };
}

/** The text of libtss2-rc, e.g. `tpm:session(1):the authorization HMAC check failed and DA counter incremented`. */
export function rcText(code: number): string {
  const decode = loadLibrary(LIBRARIES.rc).function('Tss2_RC_Decode', 'address', ['u32']);
  return copyText(decode(code));
}

function tpmName(name: string | undefined, code: number): string {
  return name === undefined ? hex(code) : `TPM_RC_${name}`;
}

function hex(code: number): string {
  return `TSS2_RC_0x${code.toString(16)}`;
}
