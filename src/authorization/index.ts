export * from './claims.ts';
export * from './holder-proof.ts';
export * from './issue.ts';
export * from './jws.ts';
export * from './narrowing.ts';
export { OUTCOME_REPORT_TYPE, makeOutcomeReport, verifyOutcomeReport } from './outcome-report.ts';
export type { OutcomeReport } from './outcome-report.ts';
export * from './verify.ts';
