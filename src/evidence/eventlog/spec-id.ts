import { Reader } from '../../base/index.ts';
import { HASH_NAMES, digestSize, hashId } from '../../tpm/index.ts';

const SIGNATURE = Buffer.from('Spec ID Event03\0', 'latin1');
const MAX_ALGORITHMS = 8;
/** Larger than any digest that a TPM can have; bounds what an unknown algorithm may declare. */
const MAX_DIGEST = 128;

/** What the first event of a crypto-agile log declares. */
export interface SpecId {
  readonly algorithms: readonly { readonly id: number; readonly size: number }[];
}

/** True when an EV_NO_ACTION is the Spec ID event of a crypto-agile log. */
export function isSpecId(data: Uint8Array): boolean {
  return (
    new Reader(data, 'TCG_EfiSpecIDEvent').peek(SIGNATURE.length)?.every((b, i) => b === SIGNATURE[i]) ??
    false
  );
}

/**
 * TCG_EfiSpecIDEvent (PC Client Platform Firmware Profile §9.4.5.1): platformClass u32, minor u8, major u8, errata u8,
 * uintnSize u8, numberOfAlgorithms u32, {id u16, size u16}*, vendorInfoSize u8, vendorInfo. Little-endian.
 * @throws Refusal `malformed`: version other than 2.0, 0 or more than 8 algorithms, one twice, a wrong size, or
 * bytes that vendorInfoSize doesn't account for
 */
export function parseSpecId(data: Uint8Array): SpecId {
  const reader = new Reader(data, 'TCG_EfiSpecIDEvent');
  reader.bytes(SIGNATURE.length);
  reader.u32le();
  const minor = reader.u8();
  const major = reader.u8();
  if (major !== 2 || minor !== 0) reader.malformed(`version ${String(major)}.${String(minor)}, not 2.0`);
  reader.bytes(2);
  const count = reader.u32le();
  if (count < 1 || count > MAX_ALGORITHMS) reader.malformed(`${String(count)} digest algorithms`);
  const algorithms: { id: number; size: number }[] = [];
  for (let i = 0; i < count; i++) {
    const id = reader.u16le();
    const size = reader.u16le();
    const known = HASH_NAMES.find((name) => hashId(name) === id);
    if (known === undefined ? size < 1 || size > MAX_DIGEST : size !== digestSize(known))
      reader.malformed(`digest size ${String(size)} for algorithm 0x${id.toString(16)}`);
    if (algorithms.some((other) => other.id === id)) reader.malformed(`algorithm 0x${id.toString(16)} twice`);
    algorithms.push({ id, size });
  }
  reader.bytes(reader.u8());
  reader.end();
  return { algorithms };
}
