export { Gateway } from './gateway.ts';
export type { GatewayOptions, RunIo } from './gateway.ts';
export { measureArtifact } from './measure-artifact.ts';
export type { MeasuredArtifact } from './measure-artifact.ts';
export type { OwnExecution } from './own-execution.ts';
export { CHILD_SOCKET_VARIABLE, parseRunOrder } from './run-order.ts';
export type { RunOrder, RunUser } from './run-order.ts';
export { verifyAnswer } from './verify-answer.ts';
export type { VerifiedAnswer } from './verify-answer.ts';
