import { createRequire } from 'node:module';
import type * as Cedar from '@cedar-policy/cedar-wasm/nodejs';

/** The functions of the Cedar engine that are used. */
export type CedarModule = Pick<
  typeof Cedar,
  | 'policySetTextToParts'
  | 'policyToJson'
  | 'policyToText'
  | 'preparsePolicySet'
  | 'preparseSchema'
  | 'schemaToJson'
  | 'statefulIsAuthorized'
  | 'validate'
>;

/** Gives an engine with memory of its own: after a trap the one before is poisoned for good. */
export type CedarLoader = () => CedarModule;

const PACKAGE = '@cedar-policy/cedar-wasm/nodejs';

/**
 * A new WebAssembly instance of the Cedar engine (about 25 ms). The package keeps its instance in its module, so the
 * module is loaded anew; this reads no file that its user names, which is why it may live in a pure layer.
 */
export const loadCedar: CedarLoader = () => {
  // A require of its own each time: one that is kept would keep every earlier instance alive as its child.
  const require = createRequire(import.meta.url);
  Reflect.deleteProperty(require.cache, require.resolve(PACKAGE));
  return require(PACKAGE) as CedarModule;
};
