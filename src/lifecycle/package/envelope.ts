import { parseDsse } from '../../artifact/index.ts';
import type { DsseEnvelope } from '../../artifact/index.ts';
import { canonicalJson, refuse, toBase64, utf8 } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { countAuthorities } from '../../policy/index.ts';
import type { Authorities } from '../../policy/index.ts';

/*
 * DSSE envelopes as packages have them: nothing in them is a matter of taste, so that whatever is altered is noticed. No
 * key ids (hints that decide nothing), one spelling of the payload, and no signature that doesn't count.
 */

/**
 * An envelope in the form of packages: signatures that count, and nothing else.
 * @param authorities those whose signatures count
 */
export function plainEnvelope(envelope: JsonObject, authorities: Authorities): JsonObject {
  const { payload, payloadType, signatures } = parseDsse(utf8(JSON.stringify(envelope)));
  const seen = new Set<string>();
  const counting = signatures.filter((signature) => {
    const one: DsseEnvelope = { payload, payloadType, signatures: [signature] };
    const [signer] = countAuthorities(one, authorities).signers;
    if (signer === undefined || seen.has(signer)) return false;
    seen.add(signer);
    return true;
  });
  return encoded({ payload, payloadType, signatures: counting });
}

/** The envelope has the form of {@link plainEnvelope}. @throws Refusal `package-form` */
export function requirePlain(envelope: JsonObject, authorities: Authorities): void {
  if (canonicalJson(plainEnvelope(envelope, authorities)) !== canonicalJson(envelope))
    refuse('package-form', 'an envelope has more than its signatures that count', { member: 'envelope' });
}

function encoded({ payload, payloadType, signatures }: DsseEnvelope): JsonObject {
  return {
    payload: toBase64(payload),
    payloadType,
    signatures: signatures.map(({ sig }) => ({ sig: toBase64(sig) })),
  };
}
