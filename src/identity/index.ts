export * from './initiator.ts';
export * from './issuers.ts';
