export * from './initiator.ts';
export * from './issuers.ts';
export * from './local-issuer.ts';
