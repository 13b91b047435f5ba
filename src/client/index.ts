export { VerifierAnswer } from './answer.ts';
export { MAX_ANSWER_BYTES, VerifierClient } from './verifier-client.ts';
export type { RequestOptions, VerifierAddress } from './verifier-client.ts';
export { VerifierRefusal } from './verifier-refusal.ts';
export type { ReportedDenial } from './verifier-refusal.ts';
