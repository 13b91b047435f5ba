import { Reader } from '../../../base/index.ts';
import { GUID } from '../efi/guid.ts';
import type { EfiVariable } from '../efi/variable.ts';
import type { AuthorityFacts } from '../facts.ts';
import { hexDigest } from '../fast-hash.ts';

/** shim measures its state like authorities; none of it allows an image to run. */
const SHIM_STATE = new Set([
  'SbatLevel',
  'MokListTrusted',
  'MokSBState',
  'MokDBState',
  'MokPolicy',
  'MokIgnoreDB',
  'SkuSiPolicy',
  'HSIStatus',
]);

export function isShimState({ guid, name }: EfiVariable): boolean {
  return guid === GUID.SHIM_LOCK && SHIM_STATE.has(name);
}

/**
 * What an EV_EFI_VARIABLE_AUTHORITY names: EFI_SIGNATURE_DATA (owner, then certificate or digest); shim logs a bare
 * certificate for those that it carries itself.
 */
export function authorityFacts(variable: EfiVariable): AuthorityFacts {
  const { name, guid, value } = variable;
  const base = { variable: name, guid };
  if (isShimState(variable)) return { ...base, sha256: hexDigest('sha256', value), kind: 'state' };
  if (isDer(value)) return { ...base, sha256: hexDigest('sha256', value), kind: 'certificate' };
  const entry = withoutOwner(value);
  if (entry !== undefined && isDer(entry))
    return { ...base, sha256: hexDigest('sha256', entry), kind: 'certificate' };
  if (entry?.length === 32) return { ...base, sha256: Buffer.from(entry).toString('hex'), kind: 'hash' };
  return { ...base, sha256: hexDigest('sha256', value), kind: 'other' };
}

function withoutOwner(value: Uint8Array): Uint8Array | undefined {
  if (value.length <= 16) return undefined;
  const reader = new Reader(value, 'EFI_SIGNATURE_DATA');
  reader.bytes(16);
  return reader.rest();
}

/** A DER SEQUENCE with a two-byte length that fills the value, as every certificate is. */
function isDer(value: Uint8Array): boolean {
  return (
    value[0] === 0x30 && value[1] === 0x82 && (((value[2] ?? 0) << 8) | (value[3] ?? 0)) + 4 === value.length
  );
}
