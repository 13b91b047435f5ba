import type { JsonObject } from '../base/index.ts';
import type { CompiledImaRules } from '../evidence/index.ts';
import type { PolicyBundle, PolicyDecision, PolicyRequest } from '../policy/index.ts';
import type { RecordVersion } from './ports.ts';

/** The active bundle: signed by its authorities, read once for a decision. */
export interface ActivePolicy {
  readonly record: RecordVersion;
  readonly bundle: PolicyBundle;
  /** Key ids of the authorities that signed it. */
  readonly authorities: readonly string[];
  /** DSSE, for the gateway. */
  readonly manifest: JsonObject;
  /** Where the bundle can be read. */
  readonly uri: string;
  /** IMA rules of a platform at a time (Unix ms), compiled when the bundle became active; null where it has none. */
  imaRules(platform: string, now: number): CompiledImaRules | null;
  /** Asks Cedar. When it throws, that is a denial too. */
  authorize(request: PolicyRequest): PolicyDecision | Promise<PolicyDecision>;
}
