import type { CedarPolicies, PolicyFile } from './cedar/compile.ts';

/**
 * Where text that somebody submitted is parsed. Some texts trap the engine (deep nesting overflows its stack) and it
 * is poisoned then, so a service parses in a worker that it throws away; a command may parse in its own process.
 */
export interface PolicyParser {
  /** @throws Refusal those of `compilePolicies`, `policy-engine` when the worker died or took too long */
  compile(files: readonly PolicyFile[], schema: PolicyFile | undefined): Promise<CompiledPolicies>;
}

/** Policies, and what the validator finds odd about them. */
export interface CompiledPolicies {
  readonly policies: CedarPolicies;
  readonly warnings: readonly string[];
}
