import { equalBytes, refuse, toHex } from '../src/base/index.ts';
import { EK_TEMPLATES, matchEkTemplate } from '../src/tpm/ek-template.ts';
import type { EkTemplate, EkTemplateName } from '../src/tpm/ek-template.ts';
import { encodePublic } from '../src/tpm/index.ts';
import type { Caller } from './caller.ts';
import { withHierarchyAuth } from './ek-session.ts';
import { getHandles } from './esys-capability.ts';
import { nvIndexes, nvRead } from './esys-nv.ts';
import { createPrimary, persistentObject } from './esys-object.ts';
import type { TpmObject } from './object.ts';
import { TpmError } from './tpm-error.ts';

/** Persistent handles of the endorsement hierarchy (TCG Registry of Reserved TPM 2.0 Handles §2.3.1). */
const PERSISTENT = { first: 0x8101_0000, last: 0x8101_ffff };
/** NV indexes of the EK certificate chain (TCG EK Credential Profile §2.2.1.5.2). */
const CHAIN = { first: 0x01c0_0100, last: 0x01c0_01ff };

/** Which EK, and, once it is known, exactly that one. */
export interface EndorsementKeyOptions {
  /** The name that was enrolled: any other key is refused. */
  readonly name?: Uint8Array;
}

/**
 * The endorsement key of a template: a persistent object whose public area is that template's, else made anew
 * (TPM2_CreatePrimary gives the same key each time until the endorsement seed changes).
 * @throws Refusal `tpm-ek-mismatch` when it isn't the one of `options.name`, `tpm-ek-template` when the TPM has a nonce or
 *   template of its own for it, `tpm-ek-unsupported` when it can't make such a key
 */
export async function endorsementKey(
  caller: Caller,
  template: EkTemplateName,
  options: EndorsementKeyOptions = {},
): Promise<TpmObject> {
  const wanted = ekTemplate(template);
  const persistent = await findPersistent(caller, wanted);
  // One that is there may be the certified one: a nonce doesn't show in its public area. The one that was enrolled is known
  // by its name, whatever it was made with.
  if (persistent === undefined && options.name === undefined) await refuseAltered(caller, wanted);
  const ek = persistent ?? (await makeEk(caller, wanted));
  if (options.name !== undefined && !equalBytes(options.name, ek.name)) {
    await ek.flush();
    refuse('tpm-ek-mismatch', `the TPM has another ${template} endorsement key than the enrolled one`, {
      name: toHex(ek.name),
    });
  }
  return ek;
}

/** An EK certificate and its chain as they lie in NV: wrappers, padding and splits are for x509 to undo. */
export interface EndorsementCertificate {
  readonly nvIndex: number;
  readonly content: Uint8Array;
  /** Contents of 0x01C00100 and following, in order; often none. */
  readonly chain: readonly Uint8Array[];
}

/** The EK certificate of a template from NV; null when the TPM has none there. */
export async function endorsementCertificate(
  caller: Caller,
  template: EkTemplateName,
): Promise<EndorsementCertificate | null> {
  const nvIndex = ekTemplate(template).certificateIndex;
  const defined = await nvIndexes(caller);
  if (!defined.includes(nvIndex)) return null;
  const content = await nvRead(caller, nvIndex);
  const chain: Uint8Array[] = [];
  for (const index of defined.filter((nv) => nv >= CHAIN.first && nv <= CHAIN.last)) {
    chain.push(await nvRead(caller, index));
  }
  return { nvIndex, content, chain };
}

async function findPersistent(caller: Caller, template: EkTemplate): Promise<TpmObject | undefined> {
  const handles = await getHandles(caller, 'persistent');
  for (const handle of handles.filter((h) => h >= PERSISTENT.first && h <= PERSISTENT.last)) {
    const object = await persistentObject(caller, handle);
    if (isMadeFrom(template, object.publicBytes)) return object;
    await object.flush();
  }
  return undefined;
}

/**
 * The certificate in NV is for the EK that the manufacturer's own nonce or template gives; that of the default template
 * would be a key that nobody certified.
 */
async function refuseAltered(caller: Caller, { name, alteredBy }: EkTemplate): Promise<void> {
  if (alteredBy.length === 0) return;
  const defined = await nvIndexes(caller);
  const found = alteredBy.find((nvIndex) => defined.includes(nvIndex));
  if (found === undefined) return;
  const nvIndex = `0x${found.toString(16).padStart(8, '0')}`;
  refuse(
    'tpm-ek-template',
    `NV index ${nvIndex} has the manufacturer's own nonce or template for endorsement key ${name}`,
    { template: name, nvIndex },
  );
}

async function makeEk(caller: Caller, template: EkTemplate): Promise<TpmObject> {
  return withHierarchyAuth(caller, 'endorsement', undefined, async (auth) => {
    const creation = { template: encodePublic(template.public), ...(auth === undefined ? {} : { auth }) };
    try {
      return (await createPrimary(caller, 'endorsement', creation)).object;
    } catch (error) {
      if (isUnsupported(error)) refuseUnsupported(template, error);
      throw error;
    }
  });
}

/** What TPMs say of a template, parameter 2, that asks for a key that they don't have (TPM 2.0 Part 3 §24.1). */
const UNSUPPORTED = ['VALUE', 'KEY_SIZE', 'CURVE', 'ASYMMETRIC', 'SYMMETRIC', 'HASH', 'TYPE'];

function isUnsupported(error: unknown): error is TpmError {
  return (
    error instanceof TpmError &&
    error.parameter === 2 &&
    UNSUPPORTED.includes(error.name.replace('TPM_RC_', ''))
  );
}

function refuseUnsupported({ name, public: area }: EkTemplate, error: TpmError): never {
  const kind =
    area.type === 'rsa' ? `RSA ${String(area.keyBits)}` : area.type === 'ecc' ? area.curve : area.type;
  refuse(
    'tpm-ek-unsupported',
    `this TPM doesn't make the endorsement key of template ${name} (${kind}, ${area.nameAlg}): ${error.reason}`,
    { template: name, name: error.name },
  );
}

function ekTemplate(name: EkTemplateName): EkTemplate {
  const found = EK_TEMPLATES.find((template) => template.name === name);
  if (found === undefined) throw new RangeError(`no EK template ${name}`);
  return found;
}

/** True when everything but the key itself is the template's, byte for byte. */
function isMadeFrom(template: EkTemplate, publicBytes: Uint8Array): boolean {
  try {
    return matchEkTemplate(publicBytes)?.name === template.name;
  } catch {
    return false; // somebody's object with an algorithm that no EK has
  }
}
