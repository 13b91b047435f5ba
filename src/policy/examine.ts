import { openUpdates, referencesAt, updateMoments } from '../appraisal/index.ts';
import type { ReferenceValues } from '../appraisal/index.ts';
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
  readonly imaRules: ImaRulesByTime;
}

/** Compiled IMA rules of every platform, for every combination of its updates that will ever be open together. */
export class ImaRulesByTime {
  readonly #rules = new Map<string, CompiledImaRules>();
  readonly #platforms: ReadonlyMap<string, Platform>;

  /** @throws Refusal `malformed` for rules that mean nothing, now or later */
  constructor(platforms: ReadonlyMap<string, Platform>) {
    this.#platforms = platforms;
    for (const { name, references } of platforms.values()) {
      for (const moment of updateMoments(references)) {
        const key = keyOf(name, references, moment);
        const compiled = this.#rules.has(key) ? undefined : imaRulesOf(referencesAt(references, moment));
        if (compiled !== undefined) this.#rules.set(key, compiled);
      }
    }
  }

  /** Undefined for a platform without reference values for IMA. @param now Unix ms */
  get(platform: string, now: number): CompiledImaRules | undefined {
    const found = this.#platforms.get(platform);
    return found && this.#rules.get(keyOf(platform, found.references, now));
  }
}

const keyOf = (platform: string, references: ReferenceValues, now: number): string =>
  `${platform}\n\n${openUpdates(references, now)}`;

/**
 * Loads a bundle into an engine of its own, so that a decision that began under one bundle ends under it.
 * @throws Refusal `policy-invalid`, `policy-engine`; `malformed` for IMA rules that mean nothing
 */
export function loadBundle(bundle: PolicyBundle, load: CedarLoader): LoadedBundle {
  const engine = new PolicyEngine(load);
  engine.load(bundle.document.cedar);
  return { engine, imaRules: new ImaRulesByTime(bundle.platforms) };
}

/** Judged with the gateway's manifest, since it is the list that has to have its files. */
function imaRulesOf({ ima, gateway }: ReferenceValues): CompiledImaRules | undefined {
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
