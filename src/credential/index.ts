export * from './sealing/index.ts';
export { issueJwtSvid } from './jwt-svid.ts';
export type { IssuedJwtSvid, JwtSvidKey, JwtSvidOrder } from './jwt-svid.ts';
export { hostSpiffeId } from './spiffe.ts';
export { MAX_STORED, decryptStored, encryptStored } from './stored.ts';
export type { StoredPlace } from './stored.ts';
export { issueSvid } from './svid.ts';
export type { IssuedSvid, SigningAuthority, SvidOrder } from './svid.ts';
