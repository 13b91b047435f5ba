import { canonicalJson, isJsonObject, refuse, utf8 } from '../base/index.ts';
import type { JsonObject, JsonValue } from '../base/index.ts';
import { policyBundle } from '../client/index.ts';
import type { VerifierClient } from '../client/index.ts';
import { diffBundles, parseBundle } from '../policy/index.ts';
import type { PolicyBundle, PolicyChange } from '../policy/index.ts';
import { printable } from './output.ts';

const MARKS = { added: '+', removed: '-', changed: '~' } as const;
/** Characters of a value that are shown; programs get it whole. */
const SHOWN = 500;

/** Changes as people read them, a line each. */
export function changesText(changes: readonly PolicyChange[]): string {
  return changes
    .map(({ kind, path, before, after }) => {
      const values = [before, after].filter((value) => value !== undefined);
      const text = values.map((value) => JSON.stringify(value)).join(' → ');
      return `${MARKS[kind]} ${printable(path)}  ${printable(text.slice(0, SHOWN))}\n`;
    })
    .join('');
}

/**
 * What a bundle changes of the one that it follows, worked out here from both: the verifier's word isn't needed, since the
 * digests are those that the authorities signed. Null for a first bundle, which follows none.
 * @param step the verifier's answer, or a part of it: `digest` and `previous`
 * @throws Refusal `policy-bundle-hash` where the verifier's bundle is another one
 */
export async function changesOf(
  client: VerifierClient,
  step: JsonObject,
): Promise<readonly PolicyChange[] | null> {
  const { digest = null, previous = null } = step;
  if (previous === null) return null;
  return diffBundles(await fetchBundle(client, previous), await fetchBundle(client, digest));
}

async function fetchBundle(client: VerifierClient, digest: JsonValue): Promise<PolicyBundle> {
  if (typeof digest !== 'string') return refuse('verifier-answer', 'a bundle without its digest');
  const { bundle = null } = await policyBundle(client, digest);
  if (!isJsonObject(bundle)) return refuse('verifier-answer', 'there is no bundle in the answer', { digest });
  const parsed = parseBundle(utf8(canonicalJson(bundle)));
  if (parsed.hash !== digest)
    refuse('policy-bundle-hash', 'the verifier has another bundle under this digest', {
      hash: parsed.hash,
      digest,
    });
  return parsed;
}
