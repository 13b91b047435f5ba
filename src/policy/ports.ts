import type { JsonObject } from '../base/index.ts';

/**
 * Where a bundle that somebody submitted is parsed and compiled. Some policies trap the engine (deep nesting overflows
 * its stack) and it is poisoned then, so a service does it in a worker that it throws away, within bounds of time and
 * memory; a command may do it in its own process ({@link examineBundle}).
 */
export interface PolicyParser {
  /**
   * @param bytes the bundle's JSON
   * @throws Refusal those of `examineBundle`; `policy-examination` when the worker died or took too long
   */
  examine(bytes: Uint8Array): Promise<ExaminedBundle>;
}

/** What is known of a bundle that is whole: every part of it can be loaded. */
export interface ExaminedBundle {
  /** policyHash. */
  readonly hash: string;
  /** The manifest that its authorities must have signed. */
  readonly manifest: JsonObject;
  /** What is probably not meant. */
  readonly warnings: readonly string[];
}
