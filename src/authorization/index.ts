export * from './claims.ts';
export * from './holder-proof.ts';
export * from './issue.ts';
export * from './jws.ts';
export * from './narrowing.ts';
export * from './verify.ts';
