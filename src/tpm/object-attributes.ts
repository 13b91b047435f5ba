/** TPMA_OBJECT (TPM 2.0 Part 2 §8.3): what a key may be used for and who vouches for it. */
export const TPMA_OBJECT = {
  fixedTPM: 1 << 1,
  stClear: 1 << 2,
  fixedParent: 1 << 4,
  sensitiveDataOrigin: 1 << 5,
  userWithAuth: 1 << 6,
  adminWithPolicy: 1 << 7,
  firmwareLimited: 1 << 8,
  svnLimited: 1 << 9,
  noDA: 1 << 10,
  encryptedDuplication: 1 << 11,
  restricted: 1 << 16,
  decrypt: 1 << 17,
  sign: 1 << 18,
  x509sign: 1 << 19,
} as const;

/** One attribute by its name in the specification. */
export type ObjectAttribute = keyof typeof TPMA_OBJECT;

/** Bits that the specification keeps for itself: 0, 3, 12–15, 20–31. As an unsigned number. */
export const TPMA_OBJECT_RESERVED = 0xfff0f009;

const NAMES = Object.keys(TPMA_OBJECT) as ObjectAttribute[]; // the keys of the constant above, by construction

/** True when every one of the named attributes is SET. */
export function hasAttributes(attributes: number, ...names: readonly ObjectAttribute[]): boolean {
  return names.every((name) => (attributes & TPMA_OBJECT[name]) !== 0);
}

/** The named attributes as TPMA_OBJECT bits. */
export function objectAttributes(...names: readonly ObjectAttribute[]): number {
  return names.reduce((bits, name) => bits | TPMA_OBJECT[name], 0);
}

/** The attributes that are SET, by name and in bit order, reserved ones as `reserved-N`. */
export function attributeNames(attributes: number): string[] {
  return Array.from({ length: 32 }, (_, bit) => bit)
    .filter((bit) => ((attributes >>> bit) & 1) === 1)
    .map((bit) => NAMES.find((name) => TPMA_OBJECT[name] === 1 << bit) ?? `reserved-${String(bit)}`);
}
