export * from './sealing/index.ts';
export { hostSpiffeId } from './spiffe.ts';
export { MAX_STORED, decryptStored, encryptStored } from './stored.ts';
export type { StoredPlace } from './stored.ts';
export { issueSvid } from './svid.ts';
export type { IssuedSvid, SigningAuthority, SvidOrder } from './svid.ts';
