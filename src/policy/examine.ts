import { compileImaRules } from '../evidence/index.ts';
import type { CompiledImaRules } from '../evidence/index.ts';
import { parseBundle } from './bundle.ts';
import type { Platform, PolicyBundle } from './bundle.ts';
import { PolicyEngine } from './cedar/engine.ts';
import type { CedarLoader } from './cedar/load.ts';
import { lintBundle } from './lint.ts';
import { manifestOf } from './manifest.ts';
import type { ExaminedBundle } from './ports.ts';

/** A bundle's parts that are expensive to make, made: what decisions are evaluated with. */
export interface LoadedBundle {
  readonly engine: PolicyEngine;
  /** IMA rules by platform; one without reference values for IMA has none. */
  readonly imaRules: ReadonlyMap<string, CompiledImaRules>;
}

/**
 * Loads a bundle into an engine of its own, so that a decision that began under one bundle ends under it.
 * @throws Refusal `policy-invalid`, `policy-engine`; `malformed` for IMA rules that mean nothing
 */
export function loadBundle(bundle: PolicyBundle, load: CedarLoader): LoadedBundle {
  const engine = new PolicyEngine(load);
  engine.load('active', bundle.document.cedar);
  const rules = [...bundle.platforms.values()].flatMap((platform) => {
    const compiled = imaRulesOf(platform);
    return compiled === undefined ? [] : [[platform.name, compiled] as const];
  });
  return { engine, imaRules: new Map(rules) };
}

/** Judged with the gateway's manifest, since it is the list that has to have its files. */
function imaRulesOf({ references: { ima, gateway } }: Platform): CompiledImaRules | undefined {
  if (ima === undefined) return undefined;
  return compileImaRules(ima.rules, gateway === undefined ? {} : { manifest: gateway.files });
}

/**
 * Parses a bundle and loads every part of it, as whoever decides with it will.
 * @throws Refusal those of `parseBundle` and {@link loadBundle}
 */
export function examineBundle(bytes: Uint8Array, load: CedarLoader): ExaminedBundle {
  const bundle = parseBundle(bytes);
  loadBundle(bundle, load);
  return { hash: bundle.hash, manifest: { ...manifestOf(bundle) }, warnings: lintBundle(bundle) };
}
